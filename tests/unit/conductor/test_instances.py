"""Records of instances through the mesh: accepted once, listed in every way, seen by whom they concern."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from novamesh.conductor.v1.flavor_service_pb2 import CreateFlavorRequest
from novamesh.conductor.v1.flavor_service_pb2_grpc import FlavorServiceStub
from novamesh.conductor.v1.instance_service_pb2 import (
    CreateInstancesRequest,
    GetInstanceByAddressRequest,
    GetInstanceRequest,
    InstanceFilter,
    ListInstancesRequest,
    LockInstanceRequest,
    ReportedPowerState,
    ReportPowerStatesRequest,
    ResetInstanceStateRequest,
    SortKey,
    UpdateInstanceRequest,
)
from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceStub
from novamesh.failures import (
    GenerationConflictError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    StateConflictError,
)
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import Instance, LockOwner, PowerState, VmState
from novamesh.types.v1.operation_pb2 import OperationKind
from tests.unit.conductor.fakes import Cloud, cloud_at, with_quota


@pytest.fixture
async def cloud(url: str) -> AsyncIterator[Cloud]:
    async with cloud_at(url) as made:
        yield made


async def names(cloud: Cloud, request: ListInstancesRequest | None = None, **filters: Any) -> list[str]:
    request = request or ListInstancesRequest(filter=InstanceFilter(**filters))
    return [one.display_name for one in (await cloud.instances.ListInstances(request)).instances]


async def named(cloud: Cloud, name: str, **template: Any) -> Instance:
    """An active instance with that name."""
    [one] = await cloud.active(**template)
    return await change(cloud, one.id, display_name=name)


async def change(cloud: Cloud, instance_id: str, generation: int = 0, **fields: Any) -> Instance:
    request = UpdateInstanceRequest(
        instance=Instance(id=instance_id, generation=generation, **fields),
        update_mask=FieldMask(paths=list(fields)),
    )
    instance: Instance = (await cloud.instances.UpdateInstance(request)).instance
    return instance


async def test_filters_choose_alike_on_every_database(cloud: Cloud) -> None:
    web = await named(cloud, "web-1", metadata={"role": "web", "tier": "a"}, tags=["blue", "old"])
    await named(cloud, "db-1", metadata={"role": "db"}, tags=["blue"], key_name="", config_drive=True)
    await named(cloud, "Web-2")
    gone = await named(cloud, "gone")
    await cloud.delete(gone.id)
    await cloud.settle(gone.id)

    async def chosen(**filters: Any) -> set[str]:
        return set(await names(cloud, **filters))

    assert await chosen() == {"web-1", "db-1", "Web-2"}
    assert await chosen(name_regex="^web") == {"web-1"}
    assert await chosen(name_regex="-[12]$") == {"web-1", "db-1", "Web-2"}
    assert await chosen(metadata={"role": "web"}) == {"web-1"}
    assert await chosen(metadata={"role": "web", "tier": "b"}) == set()
    assert await chosen(tags=["blue"]) == {"web-1", "db-1"}
    assert await chosen(tags=["blue", "old"]) == {"web-1"}
    assert await chosen(tags_any=["old", "none"]) == {"web-1"}
    assert await chosen(not_tags=["blue", "old"]) == {"db-1", "Web-2"}
    assert await chosen(not_tags_any=["blue", "old"]) == {"Web-2"}
    assert await chosen(ids=[web.id]) == {"web-1"}
    assert await chosen(deleted=True) == {"gone"}
    assert await chosen(changes_since=web.created_at) == {"web-1", "db-1", "Web-2", "gone"}
    assert await chosen(changes_before=web.created_at) == set()
    assert await chosen(created_at=web.created_at) == {"web-1"}
    assert await chosen(vm_states=[VmState.VM_STATE_ERROR]) == set()
    assert await chosen(power_states=[PowerState.POWER_STATE_RUNNING]) == {"web-1", "db-1", "Web-2"}
    assert await chosen(address_regex=web.interfaces[0].address.replace(".", r"\.") + "$") == {"web-1"}
    assert await chosen(config_drive=1) == {"db-1"}
    assert await chosen(locked=1) == set()
    assert await chosen(host=web.host, ids=[web.id]) == {"web-1"}
    assert await chosen(flavor_id="1", image_id="image-1", project_id="project-1") == {
        "web-1",
        "db-1",
        "Web-2",
    }
    assert await chosen(project_id="other") == set()
    assert await chosen(patterns={"key_name": "^$", "node": "^host"}) == {"web-1", "db-1", "Web-2"}
    assert await chosen(patterns={"node": "^other"}) == set()
    assert await chosen(launch_index=0, progress=0, auto_disk_config=2) == {"web-1", "db-1", "Web-2"}
    assert await chosen(launch_index=1) == await chosen(progress=50) == set()
    assert await chosen(created_from=web.created_at, created_before=web.launched_at) >= {"web-1"}
    assert await chosen(launched_from=web.launched_at) >= {"web-1"}
    assert await chosen(launched_before=web.created_at) == set()
    assert await chosen(deleted=True, terminated_from=web.created_at) == {"gone"}
    assert await chosen(changes_since=web.created_at, hide_deleted=True) == {"web-1", "db-1", "Web-2"}
    assert await chosen(address_v6_regex="^fe80") == set()
    assert await chosen(lock_owners=[LockOwner.LOCK_OWNER_ADMIN]) == set()
    with pytest.raises(InvalidArgumentError, match="regular expression"):
        await names(cloud, name_regex="([")
    with pytest.raises(InvalidArgumentError, match="regular expression"):
        await names(cloud, patterns={"node": "(["})
    with pytest.raises(InvalidArgumentError, match="no pattern on 'body'"):
        await names(cloud, patterns={"body": "x"})


async def test_pages_follow_each_other_in_any_order(cloud: Cloud) -> None:
    await asyncio.gather(*(cloud.active() for _ in range(7)))
    everyone = [one.id for one in (await cloud.instances.ListInstances(ListInstancesRequest())).instances]
    assert len(everyone) == 7
    for keys in (
        [],
        [SortKey(field="display_name"), SortKey(field="created_at", descending=True)],
        [SortKey(field="host", descending=True)],
        [SortKey(field="launched_at")],
        [SortKey(field="terminated_at"), SortKey(field="id")],
        [SortKey(field="locked"), SortKey(field="auto_disk_config", descending=True)],
    ):
        whole = await cloud.instances.ListInstances(ListInstancesRequest(sort_keys=keys))
        expected = [one.id for one in whole.instances]
        by_token: list[str] = []
        token = ""
        while True:
            page = await cloud.instances.ListInstances(
                ListInstancesRequest(sort_keys=keys, page_size=3, page_token=token)
            )
            by_token += [one.id for one in page.instances]
            token = page.next_page_token
            if not token:
                break
        by_marker = await cloud.instances.ListInstances(
            ListInstancesRequest(sort_keys=keys, marker=expected[2])
        )
        assert by_token == expected
        assert [one.id for one in by_marker.instances] == expected[3:]
    brief = (await cloud.instances.ListInstances(ListInstancesRequest(brief=True))).instances[0]
    assert brief.display_name
    assert not brief.interfaces
    assert not brief.HasField("flavor")
    with pytest.raises(InvalidArgumentError):
        await names(cloud, ListInstancesRequest(sort_keys=[SortKey(field="user_data")]))
    with pytest.raises(NotFoundError):
        await names(cloud, ListInstancesRequest(marker="nobody"))
    with pytest.raises(InvalidArgumentError):
        await names(cloud, ListInstancesRequest(page_token="nobody"))


async def test_the_same_request_makes_the_same_instances(cloud: Cloud) -> None:
    twice = await asyncio.gather(*(cloud.create(2, request_id="req-1") for _ in range(3)))
    assert len({one.id for made in twice for one in made}) == 2


async def test_quotas_hold_exactly_under_concurrency(url: str) -> None:
    async with cloud_at(url, options=with_quota(instances=5, cores=100, ram=-1)) as cloud:
        results = await asyncio.gather(*(cloud.create() for _ in range(12)), return_exceptions=True)
        made = [result[0] for result in results if isinstance(result, list)]
        refused = [result for result in results if isinstance(result, QuotaExceededError)]
        assert (len(made), len(refused)) == (5, 7)
        [shortage] = refused[0].detail.shortages  # type: ignore[attr-defined]
        assert (shortage.resource, shortage.limit, shortage.used, shortage.requested) == (
            "instances",
            5,
            5,
            1,
        )
        await cloud.settle(made[0].id)
        await cloud.delete(made[0].id)
        await cloud.settle(made[0].id)
        await cloud.create()
        with pytest.raises(QuotaExceededError):
            await cloud.create()


async def test_max_count_is_what_the_quota_admits(sqlite: str) -> None:
    async with cloud_at(sqlite, options=with_quota(instances=-1, cores=3, ram=-1)) as cloud:
        request = CreateInstancesRequest(
            template=Instance(display_name="n", project_id="p", user_id="u"),
            flavor_id="1",
            min_count=2,
            max_count=9,
        )
        made = (await cloud.instances.CreateInstances(request)).instances
        assert [one.display_name for one in made] == ["n-1", "n-2", "n-3"]
        with pytest.raises(QuotaExceededError, match="Quota exceeded for cores"):
            await cloud.instances.CreateInstances(request)


async def test_what_does_not_exist_is_not_accepted(sqlite: str) -> None:
    async with cloud_at(sqlite) as cloud:
        with pytest.raises(NotFoundError, match="Keypair nobody not found"):
            await cloud.create(key_name="nobody")
        with pytest.raises(NotFoundError):
            await cloud.instances.CreateInstances(CreateInstancesRequest(flavor_id="none"))
        with pytest.raises(InvalidArgumentError, match="several instances"):
            await cloud.create(2, address="10.0.0.9")
        [one] = await cloud.create(address="10.0.0.9")
        assert (await cloud.settle(one.id)).interfaces[0].address == "10.0.0.9"
        for address, reason in (("10.0.0.9", "in use already"), ("9.9.9.9", "not an address that network")):
            with pytest.raises(InvalidArgumentError, match=reason):
                await cloud.create(address=address)


async def test_a_hostname_is_made_of_the_name(sqlite: str) -> None:
    async with cloud_at(sqlite) as cloud:
        for name, expected in (("My Web_1!", "my-web-1"), ("-.", None), ("\u4f60\u597d", None)):
            request = CreateInstancesRequest(
                template=Instance(display_name=name, project_id="p", user_id="u"), flavor_id="1"
            )
            [one] = (await cloud.instances.CreateInstances(request)).instances
            assert one.hostname == (expected or f"server-{one.id}")


async def test_a_flavor_not_for_this_project_does_not_exist(sqlite: str) -> None:
    async with cloud_at(sqlite) as cloud:
        await FlavorServiceStub(cloud.node.channel("conductor")).CreateFlavor(
            CreateFlavorRequest(flavor=Flavor(id="p", name="private", vcpus=1, memory_mb=1))
        )
        with pytest.raises(NotFoundError):
            await cloud.instances.CreateInstances(
                CreateInstancesRequest(flavor_id="p", template=Instance(project_id="x", user_id="u"))
            )


async def test_updates_check_generation_and_mask(cloud: Cloud) -> None:
    [one] = await cloud.active()
    changed = await change(cloud, one.id, display_name="new", metadata={"a": "1"}, tags=["t", "t"])
    assert (changed.display_name, dict(changed.metadata), list(changed.tags)) == ("new", {"a": "1"}, ["t"])
    assert changed.generation == one.generation + 1
    assert len(changed.interfaces) == 1
    assert await names(cloud, metadata={"a": "1"}) == ["new"]
    await change(cloud, one.id, metadata={"b": "2"})
    assert await names(cloud, metadata={"a": "1"}) == []
    with pytest.raises(GenerationConflictError):
        await change(cloud, one.id, one.generation, display_name="late")
    with pytest.raises(InvalidArgumentError):
        await change(cloud, one.id, host="elsewhere")
    with pytest.raises(QuotaExceededError):
        await change(cloud, one.id, metadata={str(i): "" for i in range(129)})


async def test_a_locked_instance_refuses_its_user(sqlite: str) -> None:
    async with cloud_at(sqlite) as cloud:
        [one] = await cloud.active()
        await cloud.instances.LockInstance(LockInstanceRequest(id=one.id))
        with pytest.raises(StateConflictError, match="is locked") as refused:
            await cloud.delete(one.id)
        # No other state would help.
        assert refused.value.allowed == ()
        await cloud.start(one.id, OperationKind.OPERATION_KIND_DELETE, admin=True)
        assert (await cloud.settle(one.id)).vm_state == VmState.VM_STATE_DELETED


async def test_who_may_see_an_instance(sqlite: str) -> None:
    async with cloud_at(sqlite) as cloud:
        [one] = await cloud.active()
        assert (
            await cloud.instances.GetInstance(GetInstanceRequest(id=one.id, project_id="project-1"))
        ).instance
        with pytest.raises(NotFoundError):
            await cloud.instances.GetInstance(GetInstanceRequest(id=one.id, project_id="other"))
        own = InstanceServiceStub((await cloud.node.peer("compute", one.host)).channel("conductor"))
        stranger = InstanceServiceStub((await cloud.node.peer("compute", "host99")).channel("conductor"))
        assert (await own.GetInstance(GetInstanceRequest(id=one.id))).instance.id == one.id
        assert len((await own.ListInstances(ListInstancesRequest())).instances) == 1
        with pytest.raises(NotFoundError):
            await stranger.GetInstance(GetInstanceRequest(id=one.id))
        asked = ListInstancesRequest(filter=InstanceFilter(host=one.host))
        assert len((await stranger.ListInstances(asked)).instances) == 0
        report = ReportPowerStatesRequest(
            states=[ReportedPowerState(instance_id=one.id, power_state=PowerState.POWER_STATE_SHUTDOWN)]
        )
        with pytest.raises(PermissionDeniedError):
            await stranger.ReportPowerStates(report)
        assert (await cloud.get(one.id)).vm_state == VmState.VM_STATE_ACTIVE
        await own.ReportPowerStates(report)
        assert (await cloud.get(one.id)).vm_state == VmState.VM_STATE_STOPPED


async def test_the_holder_of_an_address_is_found(sqlite: str) -> None:
    async with cloud_at(sqlite) as cloud:
        [one] = await cloud.active()
        metadata = InstanceServiceStub((await cloud.node.peer("metadata")).channel("conductor"))
        address = one.interfaces[0].address
        for host in ("", one.host):
            found = await metadata.GetInstanceByAddress(
                GetInstanceByAddressRequest(address=address, host=host)
            )
            assert found.instance.id == one.id
        with pytest.raises(NotFoundError):
            await metadata.GetInstanceByAddress(GetInstanceByAddressRequest(address=address, host="host99"))


async def test_an_administrator_resets_a_state(sqlite: str) -> None:
    async with cloud_at(sqlite) as cloud:
        [one] = await cloud.active()
        request = ResetInstanceStateRequest(id=one.id, vm_state=VmState.VM_STATE_ERROR)
        assert (await cloud.instances.ResetInstanceState(request)).instance.vm_state == VmState.VM_STATE_ERROR
        with pytest.raises(InvalidArgumentError):
            await cloud.instances.ResetInstanceState(
                ResetInstanceStateRequest(id=one.id, vm_state=VmState.VM_STATE_PAUSED)
            )
