"""What the scheduler has to know of other instances: members of server groups, and instances that hints
name."""

from db import instance_queries, server_groups
from db.database import Connection
from novamesh.scheduler.v1.destination_service_pb2 import RequestSpec

SAME, DIFFERENT = "same_host", "different_host"


def complete(connection: Connection, spec: RequestSpec) -> RequestSpec:
    """A spec with the hosts that its hints are about. Costs nothing for one without such hints."""
    hints = spec.scheduler_hints
    if not any(name in hints for name in (server_groups.HINT, SAME, DIFFERENT)):
        return spec
    full = RequestSpec()
    full.CopyFrom(spec)
    if server_groups.HINT in hints:
        found = server_groups.places(connection, list(spec.instance_ids))
        if found:
            # All of a spec are alike, so they are in one group.
            places = next(iter(found.values()))
            full.group_policy = places.policy
            full.group_max_server_per_host = places.most
            full.group_hosts.extend(sorted(places.hosts.elements()))
    named = {name: hints[name].split(",") for name in (SAME, DIFFERENT) if hints.get(name)}
    if named:
        ids = [one for some in named.values() for one in some]
        hosts = instance_queries.hosts_of(connection, ids, spec.project_id)
        full.same_hosts.extend(hosts[one] for one in named.get(SAME, ()) if one in hosts)
        full.different_hosts.extend(hosts[one] for one in named.get(DIFFERENT, ()) if one in hosts)
    return full
