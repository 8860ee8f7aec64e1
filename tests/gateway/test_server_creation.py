"""POST /servers: what is accepted, what reaches the conductor, and what is refused by which name."""

from typing import Any

import pytest

from novamesh.types.v1.image_pb2 import ImageStatus
from tests.gateway.compute_things import IMAGE, NETWORK, tiny, tiny_image
from tests.gateway.compute_world import World, compute_world


def server(**fields: Any) -> dict[str, Any]:
    """A request for a server that would be accepted at 2.1."""
    return {"server": {"name": "vm", "flavorRef": "1", "imageRef": IMAGE, **fields}}


async def create(world: World, body: dict[str, Any], version: str = "2.1", token: str = "demo") -> Any:
    return await world.request("POST", "/servers", json=body, version=version, token=token)


async def test_a_server_is_accepted() -> None:
    async with compute_world() as world:
        response = await create(
            world,
            server(
                name="My Web_1",
                key_name="k",
                metadata={"a": "b"},
                user_data="aGVsbG8=",
                config_drive="true",
                networks=[{"uuid": NETWORK, "fixed_ip": "10.0.0.9"}],
                security_groups=[{"name": "default"}],
            )
            | {"os:scheduler_hints": {"same_host": ["a86215a1-e0a6-4d6f-b18c-784b6a833ed4"]}},
        )
        assert response.status == 202
        accepted = (await response.json())["server"]
        assert response.headers["Location"].endswith(f"/v2.1/servers/{accepted['id']}")
        assert len(accepted["adminPass"]) == 12
        assert accepted.keys() == {"id", "links", "adminPass", "OS-DCF:diskConfig", "security_groups"}
        asked = world.calls[-1]
        assert asked.request_id == response.headers["X-Openstack-Request-Id"]
        assert asked.template.hostname == "my-web-1"
        # Descriptions came with 2.19; until then the name was one.
        assert asked.template.display_description == "My Web_1"
        assert asked.template.user_data == b"hello"
        assert asked.template.config_drive
        assert asked.template.system_metadata["image_architecture"] == "x86_64"
        assert asked.template.scheduler_hints["same_host"] == "a86215a1-e0a6-4d6f-b18c-784b6a833ed4"
        assert [(card.network_id, card.address) for card in asked.networks] == [(NETWORK, "10.0.0.9")]
        (disk,) = asked.template.block_devices
        assert (disk.source_id, disk.boot_index, disk.size_gb) == (IMAGE, 0, 1)


async def test_what_the_command_line_sends() -> None:
    device = {
        "uuid": IMAGE,
        "boot_index": 0,
        "source_type": "image",
        "destination_type": "local",
        "delete_on_termination": True,
    }
    async with compute_world() as world:
        for image in ("", IMAGE):
            body = server(
                imageRef=image,
                block_device_mapping_v2=[device],
                networks="auto",
                min_count=1,
                max_count=1,
                tags=["t"],
                description="d",
                hostname="given",
            )
            response = await create(world, body, "2.96")
            assert response.status == 202, await response.text()
            assert world.calls[-1].template.image_id == IMAGE
            assert world.calls[-1].template.hostname == "given"


async def test_several_at_once_and_their_reservation() -> None:
    async with compute_world() as world:
        response = await create(world, server(min_count="2", max_count=3, return_reservation_id=True))
        assert await response.json() == {"reservation_id": "r-12345678"}
        assert (world.calls[-1].min_count, world.calls[-1].max_count) == (2, 3)
        assert (await create(world, server(min_count=3, max_count=2))).status == 400


@pytest.mark.parametrize(
    ("fields", "version", "word"),
    [
        ({"name": ""}, "2.1", "name"),
        ({"name": "x" * 256}, "2.1", "name"),
        ({"name": " x"}, "2.1", "name"),
        ({"name": 5}, "2.1", "name"),
        ({"min_count": 0}, "2.1", "min_count"),
        ({"max_count": "many"}, "2.1", "max_count"),
        ({"metadata": {"k": 1}}, "2.1", "k"),
        ({"metadata": {"k": "x" * 256}}, "2.1", "k"),
        ({"user_data": "not base64!"}, "2.1", "user_data"),
        ({"user_data": "A" * 65536}, "2.1", "user_data"),
        ({"config_drive": "perhaps"}, "2.1", "config_drive"),
        ({"nonsense": 1}, "2.1", "nonsense"),
        ({"description": "d"}, "2.18", "description"),
        ({"tags": ["t"]}, "2.51", "tags"),
        ({"hostname": "h1"}, "2.89", "hostname"),
        ({"networks": "auto"}, "2.36", "networks"),
        ({"networks": "some"}, "2.37", "networks"),
        ({"networks": [{"uuid": "private"}]}, "2.37", "uuid"),
        ({"networks": [{"fixed_ip": "10.0.0"}]}, "2.1", "fixed_ip"),
        ({"networks": [{"port": IMAGE}]}, "2.1", "port"),
        ({"networks": [{}]}, "2.1", "uuid"),
        ({"personality": [{"path": "/a", "contents": "?"}]}, "2.1", "contents"),
        ({"personality": [{"path": "/a"}]}, "2.1", "contents"),
        ({"availability_zone": "a:b:c:d"}, "2.1", "Unable to parse availability_zone"),
        (
            {"block_device_mapping": [{}], "block_device_mapping_v2": [{}]},
            "2.1",
            "Using different block_device_mapping syntaxes",
        ),
        ({"personality": [], "networks": "none"}, "2.57", "personality"),
        ({"security_groups": [{"name": "web"}]}, "2.1", "web"),
        ({"imageRef": ""}, "2.1", "imageRef"),
        ({"imageRef": "tiny"}, "2.1", "imageRef"),
        ({"availability_zone": "moon"}, "2.1", "availability zone"),
        ({"block_device_mapping": [{"volume_id": IMAGE}]}, "2.1", "Block Device Mapping"),
        ({"block_device_mapping_v2": [{"source_type": "volume", "uuid": IMAGE}]}, "2.1", "volume"),
        ({"block_device_mapping_v2": [{"source_type": "blank"}]}, "2.1", "blank"),
    ],
)
async def test_what_is_wrong_is_named(fields: dict[str, Any], version: str, word: str) -> None:
    async with compute_world() as world:
        response = await create(world, server(**fields), version)
        assert response.status == 400
        assert word in (await response.json())["badRequest"]["message"]
        assert not world.instances


@pytest.mark.parametrize("body", [{}, {"server": None}, {"server": {}}, {"server": {"name": "x"}}, {"x": 1}])
async def test_bodies_without_a_server(body: Any) -> None:
    async with compute_world() as world:
        assert (await create(world, body)).status == 400


async def test_networks_are_required_from_2_37_on() -> None:
    async with compute_world() as world:
        assert (await create(world, server(), "2.36")).status == 202
        response = await create(world, server(), "2.37")
        assert response.status == 400
        assert "networks" in await response.text()
        assert (await create(world, server(networks="none"), "2.37")).status == 202
        assert world.calls[-1].no_network


@pytest.mark.parametrize(
    ("image", "status", "message"),
    [
        ({"status": ImageStatus.IMAGE_STATUS_QUEUED}, 400, f"Image {IMAGE} is not active."),
        ({"min_ram_mb": 1024}, 400, "Flavor's memory is too small for requested image."),
        (
            {"min_disk_gb": 2},
            400,
            "Flavor disk is 1073741824 bytes, minimum size is 2147483648 bytes.",
        ),
        ({"size": 2 << 30}, 400, "Flavor disk is 1073741824 bytes, image is 2147483648 bytes."),
        ({"virtual_size": 2 << 30}, 400, "Flavor's disk is too small for requested image."),
    ],
)
async def test_an_image_that_can_not_boot(image: dict[str, Any], status: int, message: str) -> None:
    async with compute_world() as world:
        world.images[IMAGE] = tiny_image(**image)
        response = await create(world, server())
        assert response.status == status
        assert message in (await response.json())["badRequest"]["message"]


async def test_a_flavor_without_disk_is_for_administrators() -> None:
    async with compute_world() as world:
        flavor = tiny()
        flavor.root_gb = 0
        world.flavors["1"] = flavor
        response = await create(world, server())
        assert response.status == 403
        assert "zero disk" in await response.text()
        assert (await create(world, server(), token="admin")).status == 202


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flavorRef": "77"}, "Flavor 77 could not be found."),
        ({"imageRef": NETWORK}, "Can not find requested image"),
        ({"key_name": "absent"}, "Invalid key_name provided."),
    ],
)
async def test_a_reference_to_nothing_is_a_bad_request(fields: dict[str, Any], message: str) -> None:
    async with compute_world() as world:
        response = await create(world, server(**fields))
        assert response.status == 400
        assert message in (await response.json())["badRequest"]["message"]


async def test_a_disabled_flavor_is_as_if_it_were_not_there() -> None:
    async with compute_world() as world:
        world.flavors["1"].disabled = True
        response = await create(world, server(flavorRef="1"))
        assert response.status == 400
        assert "Flavor 1 could not be found." in await response.text()


async def test_a_quota_is_refused_with_its_numbers() -> None:
    async with compute_world() as world:
        response = await create(world, server(min_count=20, max_count=20))
        assert response.status == 403
        assert (await response.json())["forbidden"]["message"] == (
            "Quota exceeded for instances: Requested 20, but already used 10 of 10 instances"
        )


async def test_zone_and_host() -> None:
    async with compute_world() as world:
        assert (await create(world, server(availability_zone="nova"))).status == 202
        assert world.calls[-1].template.availability_zone == "nova"
        assert (await create(world, server(availability_zone="nova:host1"))).status == 403
        assert (await create(world, server(availability_zone="nova:host1"), token="admin")).status == 202
        assert world.calls[-1].template.forced_host == "host1"
        for host in ("nova:host9", "nova:host1:other", "::other"):
            assert (await create(world, server(availability_zone=host), token="admin")).status == 400
        body = server(networks="auto", hypervisor_hostname="host1.example.org")
        assert (await create(world, body, "2.74")).status == 403
        assert (await create(world, body, "2.74", "admin")).status == 202
        # It has to pass the filters, too.
        assert (world.calls[-1].requested_host, world.calls[-1].template.forced_host) == ("host1", "")
        both = server(networks="auto", host="host1", availability_zone="nova:host1")
        assert "mutually exclusive" in await (await create(world, both, "2.74", "admin")).text()


async def test_a_reader_creates_nothing() -> None:
    async with compute_world() as world:
        response = await create(world, server(), token="reader")
        assert response.status == 403
        assert (await response.json())["forbidden"]["message"] == (
            "Policy doesn't allow os_compute_api:servers:create to be performed."
        )
