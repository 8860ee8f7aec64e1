"""Small things of a server: the guest's password, topology, network cards; and what it can't have."""

from pathlib import Path
from typing import Any

import pytest

from novamesh.conductor.v1.password_service_pb2 import SetPasswordRequest
from novamesh.conductor.v1.password_service_pb2_grpc import PasswordServiceStub
from novamesh.failures import AlreadyExistsError, InvalidArgumentError
from tests.gateway.compute_things import NETWORK, made_instance
from tests.gateway.compute_world import World, compute_world
from tests.gateway.fake_cloud import fake_cloud

NOBODY = "00000000-0000-4000-8000-000000000000"


async def answer(world: World, path: str, version: str = "2.1", **options: Any) -> Any:
    response = await world.get(path, version=version, **options)
    assert response.status == 200, await response.text()
    return await response.json()


async def test_a_password_is_set_by_the_guest_read_and_cleared(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        path = f"/servers/{server}/os-server-password"
        assert await cloud.ask("GET", path, 200) == {"password": ""}
        metadata = await cloud.node.peer("metadata")
        passwords = PasswordServiceStub(metadata.channel("conductor"))
        long = b"x" * 1020
        await passwords.SetPassword(SetPasswordRequest(instance_id=server, password=long))
        assert await cloud.ask("GET", path, 200) == {"password": long.decode()}
        with pytest.raises(AlreadyExistsError):
            await passwords.SetPassword(SetPasswordRequest(instance_id=server, password=b"y"))
        for wrong in (b"x" * 1021, b"\xff"):
            with pytest.raises(InvalidArgumentError):
                await passwords.SetPassword(SetPasswordRequest(instance_id=server, password=wrong))
        await cloud.ask("DELETE", path, 403, "reader")
        await cloud.ask("DELETE", path, 404, "other")
        await cloud.ask("DELETE", path, 204)
        await cloud.ask("DELETE", path, 204)
        assert await cloud.ask("GET", path, 200, "reader") == {"password": ""}
        await passwords.SetPassword(SetPasswordRequest(instance_id=server, password=b"y"))
        assert await cloud.ask("GET", path, 200) == {"password": "y"}


async def test_topology() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        path = f"/servers/{server.id}/topology"
        for token in ("reader", "admin"):
            assert await answer(world, path, "2.78", token=token) == {"nodes": [], "pagesize_kb": None}
        assert (await world.get(path, version="2.77")).status == 404
        assert (await world.get(f"/servers/{NOBODY}/topology", version="2.78")).status == 404


async def test_network_cards() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        (card,) = server.interfaces
        path = f"/servers/{server.id}/os-interface"
        (shown,) = (await answer(world, path))["interfaceAttachments"]
        assert shown == {
            "port_state": "DOWN",
            "port_id": card.id,
            "net_id": NETWORK,
            "mac_addr": "fa:16:3e:00:00:01",
            "fixed_ips": [{"subnet_id": NETWORK, "ip_address": "10.0.0.5"}],
        }
        card.host = "host1"
        shown = (await answer(world, f"{path}/{card.id}", "2.70"))["interfaceAttachment"]
        assert (shown["port_state"], shown["tag"]) == ("ACTIVE", None)
        assert (await world.get(f"{path}/{NOBODY}")).status == 404
        assert (await world.get(path, token="other")).status == 404
        refused = await world.request("POST", path, json={"interfaceAttachment": {"net_id": NETWORK}})
        assert refused.status == 501
        assert "come and go with their servers" in await refused.text()


async def test_the_tag_of_a_card_is_kept(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        (network,) = (await cloud.ask("GET", "/os-networks", 200, version="2.1"))["networks"]
        server = await cloud.boot(networks=[{"uuid": network["id"], "tag": "inside"}])
        (card,) = (await cloud.ask("GET", f"/servers/{server}/os-interface", 200))["interfaceAttachments"]
        assert card["tag"] == "inside"


async def test_virtual_interfaces() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        path = f"/servers/{server.id}/os-virtual-interfaces"
        (card,) = (await answer(world, path))["virtual_interfaces"]
        assert card == {"id": server.interfaces[0].id, "mac_address": "fa:16:3e:00:00:01"}
        (card,) = (await answer(world, path, "2.12"))["virtual_interfaces"]
        assert card["net_id"] == NETWORK
        assert (await world.get(path, version="2.44")).status == 404


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("os-getVNCConsole", "novnc"),
        ("os-getSPICEConsole", "spice-html5"),
        ("os-getRDPConsole", "rdp-html5"),
        ("os-getSerialConsole", "serial"),
    ],
)
async def test_consoles_are_refused_as_of_a_type_that_no_host_offers(action: str, kind: str) -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))

        async def ask(given: dict[str, str], version: str = "2.5", server_id: str = server.id) -> Any:
            path = f"/servers/{server_id}/action"
            return await world.request("POST", path, json={action: given}, version=version)

        response = await ask({"type": kind})
        assert response.status == 400
        assert f"Unavailable console type {kind}" in await response.text()
        assert "enum" not in await (await ask({"type": "nonsense"})).text()
        assert (await ask({"type": "nonsense"})).status == 400
        assert (await ask({"type": kind}, server_id=NOBODY)).status == 404
        assert (await ask({"type": kind}, "2.6")).status == 404


async def test_remote_consoles_and_tokens() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        path = f"/servers/{server.id}/remote-consoles"
        body = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
        assert (await world.request("POST", path, json=body, version="2.5")).status == 404
        response = await world.request("POST", path, json=body, version="2.6")
        assert (response.status, "Unavailable console type novnc" in await response.text()) == (400, True)
        response = await world.get("/os-console-auth-tokens/abc", token="admin", version="2.31")
        assert (response.status, "Token not found" in await response.text()) == (404, True)


async def test_shares() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        path = f"/servers/{server.id}/shares"
        assert await answer(world, path, "2.97") == {"shares": []}
        assert (await world.get(path, version="2.96")).status == 404
        for method, where, body in (
            ("POST", path, {"share": {"share_id": NOBODY}}),
            ("GET", f"{path}/{NOBODY}", None),
            ("DELETE", f"{path}/{NOBODY}", None),
        ):
            response = await world.request(method, where, json=body, version="2.97")
            assert response.status == 404
            assert "no shared file systems" in await response.text()
        assert (await world.request("POST", path, json={"share": {}}, version="2.97")).status == 400


async def test_no_volumes_are_attached() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        path = f"/servers/{server.id}/os-volume_attachments"
        for version in ("2.1", "2.101"):
            assert await answer(world, path, version, token="reader") == {"volumeAttachments": []}
        assert (await world.get(path, token="other")).status == 404
        assert (await world.get(path + "?x=1", version="2.74")).status == 200
        assert (await world.get(path + "?x=1", version="2.75")).status == 400
        one = await world.get(f"{path}/{NOBODY}")
        assert one.status == 404
        assert f"is not attached to volume {NOBODY}" in await one.text()
        wanted = {"volumeAttachment": {"volumeId": NOBODY}}
        assert (await world.request("POST", path, json=wanted)).status == 501


async def test_the_other_name_of_servers() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        path = f"/os-volumes_boot/{server.id}"
        shown = (await answer(world, path, "2.102"))["server"]
        assert shown["links"][0]["href"].endswith(f"/v2.1/servers/{server.id}")
        assert len((await answer(world, "/os-volumes_boot/detail"))["servers"]) == 1
        stopped = await world.request("POST", path + "/action", json={"os-stop": None})
        assert stopped.status == 202
        # An extension's action never had it.
        assert (await world.request("POST", path + "/action", json={"pause": None})).status == 400
        assert (await world.get(path, version="2.103")).status == 404


async def test_a_server_leaves_its_zone_and_comes_back(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot(availability_zone="nova")
        path = f"/servers/{server}"

        async def pin(zone: str | None, status: int = 200, version: str = "2.104") -> Any:
            body = {"server": {"pinned_availability_zone": zone}}
            return await cloud.ask("PUT", path, status, version=version, json=body)

        await pin(None, 400, "2.103")
        assert (await pin(None))["server"]["pinned_availability_zone"] is None
        assert (await pin(None))["server"]["OS-EXT-AZ:availability_zone"] == "nova"
        refused = await pin("elsewhere", 409)
        assert "not the zone that it is in" in refused["conflictingRequest"]["message"]
        assert (await pin("nova"))["server"]["pinned_availability_zone"] == "nova"
        assert (await pin("nova"))["server"]["pinned_availability_zone"] == "nova"
        assert "pinned to nova" in (await pin("elsewhere", 409))["conflictingRequest"]["message"]
        assert (await cloud.show(server))["pinned_availability_zone"] == "nova"
