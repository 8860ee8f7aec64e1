"""The Compute API: its routes, its rules and its backends put together."""

from aiohttp import web

from gateway.app import Api, ApiServer, LegacyFace, TokenReader
from gateway.compute import (
    aggregates,
    availability_zones,
    extensions,
    flavor_extra_specs,
    flavors,
    hosts,
    hypervisors,
    image_metadata,
    images,
    instance_actions,
    instance_usage_audit_log,
    keypairs,
    limits,
    migrations,
    networks,
    quota_class_sets,
    quota_sets,
    remote_consoles,
    server_actions,
    server_admin_passwords,
    server_crash_dumps,
    server_creation,
    server_deferred_delete,
    server_diagnostics,
    server_evacuate,
    server_external_events,
    server_groups,
    server_interfaces,
    server_ips,
    server_locks,
    server_metadata,
    server_migrations,
    server_passwords,
    server_rebuild,
    server_rescue,
    server_resize,
    server_shares,
    server_shelve,
    server_snapshots,
    server_tags,
    server_topology,
    servers,
    services,
    simple_tenant_usage,
    unavailable,
    versions,
    volume_attachments,
    volumes_boot,
)
from gateway.compute.backends import connect
from gateway.compute.history import MAXIMUM
from gateway.compute.legacy import relax
from gateway.compute.rules import RULES
from gateway.compute.versions import LEGACY_PREFIX, PREFIX
from gateway.microversions import Negotiator
from gateway.options import GatewayOptions
from gateway.policy import Policy
from gateway.routes import RouteTree, flatten
from services.mesh import Node

_ROUTES = flatten(
    resource.ROUTES
    for resource in (
        servers,
        server_creation,
        server_deferred_delete,
        server_evacuate,
        server_migrations,
        server_actions,
        server_locks,
        server_rebuild,
        server_rescue,
        server_resize,
        server_admin_passwords,
        server_crash_dumps,
        server_diagnostics,
        server_snapshots,
        server_shelve,
        server_metadata,
        server_tags,
        server_ips,
        instance_actions,
        flavors,
        flavor_extra_specs,
        keypairs,
        images,
        image_metadata,
        networks,
        migrations,
        limits,
        simple_tenant_usage,
        instance_usage_audit_log,
        quota_sets,
        quota_class_sets,
        server_groups,
        services,
        hosts,
        hypervisors,
        aggregates,
        availability_zones,
        server_interfaces,
        server_passwords,
        server_topology,
        server_shares,
        volume_attachments,
        server_external_events,
        remote_consoles,
        extensions,
        versions,
        unavailable,
    )
)
ROUTES = (*_ROUTES, *volumes_boot.aliases(_ROUTES))


def build_compute_app(node: Node, authenticator: TokenReader, options: GatewayOptions) -> web.Application:
    """The Compute API v2.1 as an aiohttp application, to be served on osapi_compute_listen.

    It has the face from before microversions, too. `node` is the gateway's own; `authenticator` must
    be started by whoever made it. Schemas and policy are compiled here, once. Raises OSError or
    ValueError that names policy_file when that can't be used.
    """
    api = Api(
        name="compute",
        prefix=PREFIX,
        routes=RouteTree(ROUTES, MAXIMUM),
        policy=Policy(RULES, options.policy_file),
        negotiator=Negotiator("compute", MAXIMUM),
        state=connect(node, options),
        documents={
            "/": versions.every,
            "": versions.every,
            PREFIX: versions.current,
            PREFIX + "/": versions.current,
            LEGACY_PREFIX: versions.legacy,
            LEGACY_PREFIX + "/": versions.legacy,
        },
        unknown_prefix=versions.choices,
        legacy=LegacyFace(LEGACY_PREFIX, relax),
        owner=servers.owner,
    )
    return ApiServer(api, authenticator, options).application()
