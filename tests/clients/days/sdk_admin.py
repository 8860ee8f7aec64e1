"""An administrator's day with openstacksdk, by its compute proxy."""

from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.clients.days.hosts import FIRST, SECOND
from tests.clients.days.people import Person
from tests.clients.days.sdk_user import becomes
from tests.clients.newcomer import eventually

SECONDS = 60.0


def day(admin: Any, person: Person, hosts: AbstractContextManager[Any]) -> None:
    """What is there for a member's project, and what is done with the hosts while nobody else does."""
    member = person.connection()
    makes_a_flavor(admin, member)
    with hosts:
        sets_quotas(admin, member, person)
        changes_the_default_quota(admin)
        makes_a_zone(admin)
        disables_a_host(admin)
        moved, other = boots_where_they_want(admin)
        lists_all_servers(admin, member)
        looks_at_hypervisors(admin, moved)
        migrates_a_server(admin, moved)
        migrates_a_running_server(admin, moved)
        unshelves_where_they_want(admin, moved)
        evacuates_a_host(admin, moved)
        reads_what_moved(admin, moved)
        takes_a_delete_back(admin, moved, other)
    reads_usage(admin)


def boot(user: Any, name: str, **options: Any) -> Any:
    """A server once it is ACTIVE."""
    made = user.compute.create_server(
        name=name,
        image_id=user.image.find_image("tiny").id,
        flavor_id=user.compute.find_flavor("m1.tiny").id,
        networks="auto",
        **options,
    )
    return becomes(user, made, "ACTIVE")


def makes_a_flavor(admin: Any, member: Any) -> None:
    """A private one, which the member's project comes to see; extra specs; a description."""
    name = f"for-{member.current_project_id}"
    made = admin.compute.create_flavor(name=name, ram=64, vcpus=1, disk=1, is_public=False)
    assert (made.name, made.ram, made.is_public) == (name, 64, False)
    specs = {"hw:cpu_policy": "shared", "hw:mem_page_size": "any"}
    admin.compute.create_flavor_extra_specs(made, specs)
    assert admin.compute.fetch_flavor_extra_specs(made).extra_specs == specs
    admin.compute.update_flavor_extra_specs_property(made, "hw:mem_page_size", "small")
    assert admin.compute.get_flavor_extra_specs_property(made, "hw:mem_page_size") == "small"
    admin.compute.delete_flavor_extra_specs_property(made, "hw:cpu_policy")
    assert member.compute.find_flavor(name) is None
    admin.compute.flavor_add_tenant_access(made, member.current_project_id)
    (access,) = admin.compute.get_flavor_access(made)
    assert access["tenant_id"] == member.current_project_id
    assert member.compute.find_flavor(name).id == made.id
    described = admin.compute.update_flavor(made.id, description="for one project")
    assert described.description == "for one project"
    admin.compute.flavor_remove_tenant_access(made, member.current_project_id)
    assert member.compute.find_flavor(name) is None
    assert name in [flavor.name for flavor in admin.compute.flavors(is_public=None)]
    admin.compute.delete_flavor(made, ignore_missing=False)


def sets_quotas(admin: Any, member: Any, person: Person) -> None:
    """Of a project, and back."""
    project = admin.identity.get_project(person.project_id)
    changed = admin.compute.update_quota_set(project, instances=3, cores=4)
    assert (changed.instances, changed.cores) == (3, 4)
    assert member.compute.get_limits().absolute.instances == 3
    assert admin.compute.get_quota_set(project, user_id=person.user_id).instances == 3
    admin.compute.revert_quota_set(project)
    assert admin.compute.get_quota_set(project).instances == 10


def changes_the_default_quota(admin: Any) -> None:
    """The class `default`, which all projects without quotas of their own have."""
    admin.compute.update_quota_class_set("default", instances=11)
    assert admin.compute.get_quota_class_set("default").instances == 11
    assert admin.compute.get_quota_set_defaults(admin.current_project_id).instances == 11
    admin.compute.update_quota_class_set("default", instances=10)


def makes_a_zone(admin: Any) -> None:
    """An aggregate with a host and a zone; its images are fetched ahead of its servers."""
    made = admin.compute.create_aggregate(name="rack", availability_zone="edge")
    assert admin.compute.add_host_to_aggregate(made, SECOND).hosts == [SECOND]
    changed = admin.compute.set_aggregate_metadata(made, {"ssd": "true"})
    assert changed.metadata == {"availability_zone": "edge", "ssd": "true"}
    assert admin.compute.update_aggregate(made, name="shelf").name == "shelf"
    assert admin.compute.find_aggregate("shelf").uuid == made.uuid
    zones = {zone.name: zone.hosts for zone in admin.compute.availability_zones(details=True)}
    assert (set(zones["edge"]), set(zones["nova"])) == ({SECOND}, {FIRST})
    admin.compute.aggregate_precache_images(made, admin.image.find_image("tiny").id)
    assert admin.compute.remove_host_from_aggregate(made, SECOND).hosts == []
    admin.compute.delete_aggregate(made, ignore_missing=False)
    assert list(admin.compute.aggregates()) == []


def service_of(admin: Any, host: str) -> Any:
    """A host's nova-compute."""
    (service,) = admin.compute.services(binary="nova-compute", host=host)
    return service


def disables_a_host(admin: Any) -> None:
    """With a reason, and by saying that it is down."""
    assert {service.binary for service in admin.compute.services()} >= {"nova-compute", "nova-scheduler"}
    second = service_of(admin, SECOND)
    admin.compute.disable_service(second, disabled_reason="new disk")
    shown = service_of(admin, SECOND)
    assert (shown.status, shown.disabled_reason) == ("disabled", "new disk")
    admin.compute.enable_service(second)
    assert service_of(admin, SECOND).status == "enabled"
    admin.compute.update_service(second, forced_down=True)
    shown = service_of(admin, SECOND)
    assert (shown.state, shown.is_forced_down) == ("down", True)
    admin.compute.update_service(second, forced_down=False)
    eventually("the host to be up", lambda: service_of(admin, SECOND).state == "up", SECONDS)


def boots_where_they_want(admin: Any) -> tuple[Any, Any]:
    """One by host, one by zone and host."""
    moved = boot(admin, "moved", host=SECOND)
    other = boot(admin, "other", availability_zone=f"nova:{FIRST}")
    assert (moved.compute_host, moved.hypervisor_hostname, moved.host_status) == (SECOND, SECOND, "UP")
    assert (other.compute_host, other.availability_zone) == (FIRST, "nova")
    return moved, other


def lists_all_servers(admin: Any, member: Any) -> None:
    """Of all projects, by host, by project; nobody else has any now."""
    theirs = boot(member, "theirs")

    def names(**query: Any) -> set[str]:
        return {str(server.name) for server in admin.compute.servers(**query)}

    assert names() == {"moved", "other"}
    assert names(all_projects=True) == {"moved", "other", "theirs"}
    assert names(all_projects=True, project_id=member.current_project_id) == {"theirs"}
    on_second = names(all_projects=True, compute_host=SECOND)
    assert "moved" in on_second
    assert "other" not in on_second
    admin.compute.delete_server(theirs, force=True)
    admin.compute.wait_for_delete(theirs, interval=1, wait=SECONDS)


def looks_at_hypervisors(admin: Any, moved: Any) -> None:
    """Both, what they say of themselves, and a server's diagnostics."""
    listed = {each.name: each for each in admin.compute.hypervisors(details=True)}
    assert {name: each.state for name, each in listed.items()} == dict.fromkeys((FIRST, SECOND), "up")
    found = admin.compute.find_hypervisor(SECOND)
    shown = admin.compute.get_hypervisor(found)
    assert (shown.hypervisor_type, shown.status, shown.service_details["host"]) == (
        *("fake", "enabled", SECOND),
    )
    (with_servers,) = admin.compute.hypervisors(hypervisor_hostname_pattern=SECOND, with_servers=True)
    assert [server["uuid"] for server in with_servers.servers] == [moved.id]
    diagnostics = admin.compute.get_server_diagnostics(moved)
    assert (diagnostics.state, diagnostics.num_cpus) == ("running", 1)


def migrates_a_server(admin: Any, moved: Any) -> None:
    """Cold, to where the scheduler wants and confirmed, to a host and taken back; its states set by hand."""
    admin.compute.migrate_server(moved)
    assert becomes(admin, moved, "VERIFY_RESIZE").compute_host == FIRST
    admin.compute.confirm_server_resize(moved)
    becomes(admin, moved, "ACTIVE")
    admin.compute.migrate_server(moved, host=SECOND)
    assert becomes(admin, moved, "VERIFY_RESIZE").compute_host == SECOND
    admin.compute.revert_server_resize(moved)
    assert becomes(admin, moved, "ACTIVE").compute_host == FIRST
    for state in ("error", "active"):
        admin.compute.reset_server_state(moved, state)
        assert admin.compute.get_server(moved).status == state.upper()


def migrates_a_running_server(admin: Any, moved: Any) -> None:
    """To where the scheduler wants, and to a host."""
    admin.compute.live_migrate_server(moved, block_migration="auto")
    assert becomes(admin, moved, "ACTIVE").compute_host == SECOND
    admin.compute.live_migrate_server(moved, host=FIRST, block_migration="auto")
    assert becomes(admin, moved, "ACTIVE").compute_host == FIRST
    assert list(admin.compute.server_migrations(moved)) == [], "only those on their way"


def unshelves_where_they_want(admin: Any, moved: Any) -> None:
    """On a host of their choice."""
    admin.compute.shelve_server(moved)
    becomes(admin, moved, "SHELVED_OFFLOADED")
    admin.compute.unshelve_server(moved, host=SECOND)
    assert becomes(admin, moved, "ACTIVE").compute_host == SECOND


def evacuates_a_host(admin: Any, moved: Any) -> None:
    """A host that is said to be down; what is evacuated stays off from 2.95 on."""
    second = service_of(admin, SECOND)
    admin.compute.update_service(second, forced_down=True)
    admin.compute.evacuate_server(moved)
    evacuated = eventually(
        "moved to be evacuated", lambda: _on(admin.compute.get_server(moved), FIRST), SECONDS
    )
    assert evacuated.status in ("ACTIVE", "SHUTOFF")
    admin.compute.update_service(second, forced_down=False)
    eventually("the host to be up", lambda: service_of(admin, SECOND).state == "up", SECONDS)


def _on(server: Any, host: str) -> Any:
    return server if (server.compute_host, server.task_state) == (host, None) else None


def reads_what_moved(admin: Any, moved: Any) -> None:
    """The records of all that, the newest first."""
    records = admin.compute.migrations(instance_uuid=moved.id)
    assert [
        (each.migration_type, each.status, each.source_compute, each.dest_compute) for each in records
    ] == [
        ("evacuation", "done", SECOND, FIRST),
        ("live-migration", "completed", SECOND, FIRST),
        ("live-migration", "completed", FIRST, SECOND),
        ("migration", "reverted", FIRST, SECOND),
        ("migration", "confirmed", SECOND, FIRST),
    ]


def takes_a_delete_back(admin: Any, moved: Any, other: Any) -> None:
    """This cloud keeps what was deleted for a while."""
    before = admin.compute.get_server(moved).status
    admin.compute.delete_server(moved)
    becomes(admin, moved, "SOFT_DELETED")
    admin.compute.restore_server(moved)
    becomes(admin, moved, "ACTIVE")
    assert before in ("ACTIVE", "SHUTOFF")
    for server in (moved, other):
        admin.compute.delete_server(server, force=True)
    for server in (moved, other):
        admin.compute.wait_for_delete(server, interval=1, wait=SECONDS)
    assert list(admin.compute.servers()) == []
    deleted = {
        server.id: server.status for server in admin.compute.servers(all_projects=True, deleted_only=True)
    }
    assert deleted[moved.id] == "DELETED"


def reads_usage(admin: Any) -> None:
    """Of all projects, and of the own one, which had two servers."""
    # Without a beginning only what still is would be told of.
    yesterday = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=1)
    own = admin.compute.get_usage(admin.current_project_id, start=yesterday)
    assert {record.name for record in own.server_usages} == {"moved", "other"}
    assert admin.current_project_id in [usage.project_id for usage in admin.compute.usages(start=yesterday)]
