"""Flavors, key pairs, networks and quotas: the records that are only kept."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from novamesh.conductor.v1 import flavor_service_pb2 as flavors
from novamesh.conductor.v1 import keypair_service_pb2 as keypairs
from novamesh.conductor.v1 import network_service_pb2 as networks
from novamesh.conductor.v1 import quota_service_pb2 as quotas
from novamesh.conductor.v1.flavor_service_pb2_grpc import FlavorServiceStub
from novamesh.conductor.v1.keypair_service_pb2_grpc import KeypairServiceStub
from novamesh.conductor.v1.network_service_pb2_grpc import NetworkServiceStub
from novamesh.conductor.v1.quota_service_pb2_grpc import QuotaServiceStub
from novamesh.failures import (
    AlreadyExistsError,
    GenerationConflictError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
)
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.network_pb2 import Network
from tests.unit.conductor.fakes import Cloud, cloud_at, with_quota


@pytest.fixture
async def cloud(url: str) -> AsyncIterator[Cloud]:
    async with cloud_at(url, options=with_quota(key_pairs=3)) as made:
        yield made


async def test_flavors(cloud: Cloud) -> None:
    stub: Any = FlavorServiceStub(cloud.node.channel("conductor"))

    async def create(**fields: Any) -> Flavor:
        flavor = Flavor(**{"vcpus": 1, "memory_mb": 64, "is_public": True} | fields)
        made: Flavor = (await stub.CreateFlavor(flavors.CreateFlavorRequest(flavor=flavor))).flavor
        return made

    for index, name in enumerate(["b", "a", "c"]):
        await create(id=f"f{index}", name=name, memory_mb=100 * (index + 1))
    secret = await create(name="secret", is_public=False, extra_specs={"k": "v"})
    assert len(secret.id) == 36
    with pytest.raises(AlreadyExistsError):
        await create(id="x", name="a")
    with pytest.raises(AlreadyExistsError):
        await create(id="f0", name="new")
    with pytest.raises(InvalidArgumentError):
        await create(name="none", vcpus=0)

    async def listed(**fields: Any) -> list[str]:
        answer = await stub.ListFlavors(flavors.ListFlavorsRequest(**fields))
        return [one.name for one in answer.flavors]

    assert await listed(sort_key="name", project_id="p") == ["a", "b", "c", "m1.tiny"]
    assert await listed(sort_key="name", descending=True, min_ram_mb=150) == ["m1.tiny", "c", "a"]
    assert await listed(visibility=2) == ["secret"]
    assert await listed(sort_key="memory_mb", page_size=2, marker="f0") == ["a", "c"]
    with pytest.raises(NotFoundError):
        await listed(marker="nobody")
    with pytest.raises(InvalidArgumentError):
        await listed(sort_key="extra_specs")
    with pytest.raises(NotFoundError):
        await stub.GetFlavor(flavors.GetFlavorRequest(id=secret.id, project_id="p"))
    access = flavors.AddFlavorAccessRequest(flavor_id=secret.id, project_id="p")
    assert list((await stub.AddFlavorAccess(access)).project_ids) == ["p"]
    with pytest.raises(AlreadyExistsError):
        await stub.AddFlavorAccess(access)
    found = await stub.GetFlavor(flavors.GetFlavorRequest(id=secret.id, project_id="p"))
    assert dict(found.flavor.extra_specs) == {"k": "v"}
    change = flavors.UpdateFlavorRequest(
        flavor=Flavor(id=secret.id, generation=1, description="d"), update_mask=["description", "extra_specs"]
    )
    changed = (await stub.UpdateFlavor(change)).flavor
    assert (changed.description, dict(changed.extra_specs), changed.generation) == ("d", {}, 2)
    with pytest.raises(GenerationConflictError):
        await stub.UpdateFlavor(change)
    gone = flavors.RemoveFlavorAccessRequest(flavor_id=secret.id, project_id="p")
    assert not (await stub.RemoveFlavorAccess(gone)).project_ids
    with pytest.raises(NotFoundError):
        await stub.RemoveFlavorAccess(gone)
    await stub.DeleteFlavor(flavors.DeleteFlavorRequest(id=secret.id))
    with pytest.raises(NotFoundError):
        await stub.DeleteFlavor(flavors.DeleteFlavorRequest(id=secret.id))


async def test_key_pairs(cloud: Cloud) -> None:
    stub: Any = KeypairServiceStub(cloud.node.channel("conductor"))

    async def create(name: str, user: str = "u") -> Any:
        keypair = keypairs.Keypair(user_id=user, name=name, public_key="ssh-rsa x", fingerprint="aa:bb")
        return (await stub.CreateKeypair(keypairs.CreateKeypairRequest(keypair=keypair))).keypair

    made = await create("one")
    assert (made.type, made.fingerprint) == ("ssh", "aa:bb")
    await create("one", "other")
    with pytest.raises(AlreadyExistsError, match="already exists"):
        await create("one")
    await create("three")
    await create("two")
    with pytest.raises(QuotaExceededError):
        await create("four")
    page = await stub.ListKeypairs(keypairs.ListKeypairsRequest(user_id="u", page_size=1, marker="one"))
    assert ([one.name for one in page.keypairs], page.more) == (["three"], True)
    await stub.DeleteKeypair(keypairs.DeleteKeypairRequest(user_id="u", name="one"))
    with pytest.raises(NotFoundError):
        await stub.GetKeypair(keypairs.GetKeypairRequest(user_id="u", name="one"))
    [instance] = await cloud.create()
    await cloud.settle(instance.id)


async def test_networks(cloud: Cloud) -> None:
    stub: Any = NetworkServiceStub(cloud.node.channel("conductor"))

    async def create(**fields: Any) -> Network:
        request = networks.CreateNetworkRequest(network=Network(**fields))
        made: Network = (await stub.CreateNetwork(request)).network
        return made

    made = await create(label="other", cidr="10.9.0.0/29", project_id="p", dhcp_start="10.9.0.4")
    assert (made.gateway, made.dhcp_server, made.bridge) == ("10.9.0.1", "10.9.0.1", "br100")
    for wrong, field in (
        ({"label": "", "cidr": "10.8.0.0/24"}, "label"),
        ({"label": "x", "cidr": "10.8.0.1/24"}, "cidr"),
        ({"label": "x", "cidr": "10.0.0.0/8"}, "cidr"),
        ({"label": "x", "cidr": "10.8.0.0/24", "gateway": "10.7.0.1"}, "gateway"),
    ):
        with pytest.raises(InvalidArgumentError) as refused:
            await create(**wrong)
        assert refused.value.detail.field == field  # type: ignore[attr-defined]
    with pytest.raises(AlreadyExistsError, match="overlaps"):
        await create(label="x", cidr="10.9.0.0/28")
    with pytest.raises(AlreadyExistsError):
        await create(label="private", cidr="10.8.0.0/24")
    listed = await stub.ListNetworks(networks.ListNetworksRequest(project_id="q"))
    assert [one.label for one in listed.networks] == ["private"]
    found = (await stub.GetNetwork(networks.GetNetworkRequest(label="other"))).network
    assert found == (await stub.GetNetwork(networks.GetNetworkRequest(id=made.id))).network
    [one] = await cloud.active()
    with pytest.raises(InvalidArgumentError, match="still has 1 addresses"):
        await stub.DeleteNetwork(networks.DeleteNetworkRequest(id=cloud.network_id))
    await stub.DeleteNetwork(networks.DeleteNetworkRequest(id=made.id))
    host = NetworkServiceStub((await cloud.node.peer("network", one.host)).channel("conductor"))
    cards = (await host.ListInterfaces(networks.ListInterfacesRequest(host=one.host))).interfaces
    assert [(card.instance_id, card.network.label) for card in cards] == [(one.id, "private")]
    with pytest.raises(PermissionDeniedError):
        await host.ListInterfaces(networks.ListInterfacesRequest(host="host99"))


async def test_quotas(cloud: Cloud) -> None:
    stub: Any = QuotaServiceStub(cloud.node.channel("conductor"))

    async def get(user: str = "", project: str = "project-1") -> dict[str, tuple[int, int]]:
        request = quotas.GetQuotasRequest(project_id=project, user_id=user, with_usage=True)
        return {one.resource: (one.limit, one.in_use) for one in (await stub.GetQuotas(request)).quotas}

    defaults = (await stub.GetDefaultQuotas(quotas.GetDefaultQuotasRequest())).quotas
    assert {one.resource: one.limit for one in defaults}["cores"] == 20
    await cloud.active(2)
    assert (await get())["instances"] == (10, 2)
    assert (await get())["ram"] == (51200, 1024)
    assert (await get())["fixed_ips"] == (-1, 2)
    assert (await get(project="nobody"))["instances"] == (10, 0)

    async def update(user: str = "", *, force: bool = False, **limits: int) -> None:
        await stub.UpdateQuotas(
            quotas.UpdateQuotasRequest(project_id="project-1", user_id=user, limits=limits, force=force)
        )

    with pytest.raises(InvalidArgumentError, match="already used and reserved 2"):
        await update(instances=1)
    with pytest.raises(InvalidArgumentError, match="no quota for"):
        await update(gold=1)
    await update(instances=1, force=True)
    assert (await get())["instances"] == (1, 2)
    with pytest.raises(QuotaExceededError):
        await cloud.create()
    await update(instances=9)
    await update("user-1", cores=2)
    assert (await get("user-1"))["cores"] == (2, 2)
    with pytest.raises(QuotaExceededError, match="cores"):
        await cloud.create()
    await stub.DeleteQuotas(quotas.DeleteQuotasRequest(project_id="project-1"))
    assert (await get("user-1"))["cores"] == (20, 2)
    await cloud.active()
