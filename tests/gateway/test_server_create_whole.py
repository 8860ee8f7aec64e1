"""What a create may ask for, through the whole cloud: counts, places, files, drives and limits."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.virt.fake.options import FakeOptions
from novamesh.metadata.v1.metadata_service_pb2 import (
    GetConfigDriveRequest,
    GetMetadataRequest,
)
from novamesh.metadata.v1.metadata_service_pb2_grpc import MetadataServiceStub
from tests.gateway.fake_cloud import CONDUCTOR, FakeCloud, fake_cloud

MOTD = {"path": "/etc/motd", "contents": base64.b64encode(b"hello\n").decode()}


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[FakeCloud]:
    async with fake_cloud(tmp_path, hosts=2) as made:
        yield made


async def create(cloud: FakeCloud, status: int, version: str = "latest", **given: Any) -> Any:
    body = {
        "name": "vm",
        "imageRef": cloud.image,
        "flavorRef": cloud.flavor,
        "networks": "auto",
        **given,
    }
    body = {name: value for name, value in body.items() if value is not None}
    token = body.pop("token", "demo")
    return await cloud.ask("POST", "/servers", status, token, version, json={"server": body})


async def test_injected_files_are_in_the_metadata_and_on_the_drive(cloud: FakeCloud) -> None:
    server = await cloud.boot(
        "vm", version="2.56", personality=[MOTD, {"path": "/b", "contents": ""}], config_drive=True
    )
    node = await cloud.node.peer("compute", (await cloud.show(server))["OS-EXT-SRV-ATTR:host"])
    drive = await MetadataServiceStub(node.channel("metadata")).GetConfigDrive(
        GetConfigDriveRequest(instance_id=server)
    )
    files = {file.path: file.content for file in drive.files}
    listed = json.loads(files["openstack/latest/meta_data.json"])["files"]
    assert {one["path"]: files["openstack" + one["content_path"]] for one in listed} == {
        "/etc/motd": b"hello\n",
        "/b": b"",
    }
    metadata = MetadataServiceStub(cloud.node.channel("metadata"))
    path = "/openstack" + next(one["content_path"] for one in listed if one["path"] == "/etc/motd")
    answer = await metadata.GetMetadata(GetMetadataRequest(instance_id=server, path=path))
    assert answer.body == b"hello\n"


@pytest.mark.parametrize(
    ("personality", "message"),
    [
        ([MOTD | {"path": f"/{number}"} for number in range(6)], "Personality file limit exceeded."),
        ([MOTD | {"path": "/" * 256}], "Personality file path exceeds maximum 255 bytes."),
        (
            [MOTD | {"contents": base64.b64encode(bytes(10241)).decode()}],
            "Personality file content exceeds maximum 10240 bytes.",
        ),
    ],
)
async def test_files_have_limits(cloud: FakeCloud, personality: list[dict[str, str]], message: str) -> None:
    refused = await create(cloud, 403, "2.56", personality=personality)
    assert refused["forbidden"]["message"] == message
    assert (await cloud.ask("GET", "/servers", 200))["servers"] == []


async def test_metadata_has_a_limit(cloud: FakeCloud) -> None:
    refused = await create(cloud, 403, metadata={str(number): "x" for number in range(129)})
    assert refused["forbidden"]["message"] == "Maximum number of metadata items exceeds 128"


async def test_drives_that_are_demanded(tmp_path: Path, cloud: FakeCloud) -> None:
    demanding = await cloud.add_image("demanding", img_config_drive="mandatory")
    optional = await cloud.add_image("optional", img_config_drive="optional")
    assert (await cloud.show(await cloud.boot("a", imageRef=demanding)))["config_drive"] == "True"
    assert (await cloud.show(await cloud.boot("b", imageRef=optional)))["config_drive"] == ""


async def test_an_operator_may_demand_drives(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, conductor=replace(CONDUCTOR, force_config_drive=True)) as cloud:
        assert (await cloud.show(await cloud.boot("vm")))["config_drive"] == "True"


async def test_several_servers_and_their_names(cloud: FakeCloud) -> None:
    answer = await create(
        cloud, 202, name="web", hostname="node", min_count=2, max_count="3", return_reservation_id=True
    )
    assert list(answer) == ["reservation_id"]
    path = f"/servers/detail?all_tenants=1&reservation_id={answer['reservation_id']}&sort_key=launch_index"
    listed = (await cloud.ask("GET", path + "&sort_dir=asc", 200, "admin"))["servers"]
    assert [one["name"] for one in listed] == ["web-1", "web-2", "web-3"]
    assert [one["OS-EXT-SRV-ATTR:hostname"] for one in listed] == ["node-1", "node-2", "node-3"]
    assert [one["OS-EXT-SRV-ATTR:launch_index"] for one in listed] == [0, 1, 2]
    refused = await create(cloud, 400, min_count=3, max_count=2)
    assert refused["badRequest"]["message"] == "min_count must be <= max_count"
    # As many as the quota of 10 admits.
    await create(cloud, 202, min_count=1, max_count=50)
    assert len((await cloud.ask("GET", "/servers", 200))["servers"]) == 10
    await create(cloud, 403)


async def test_hosts_that_are_forced_and_hosts_that_are_asked_for(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        await cloud.add_host("small", FakeOptions(memory_mb=100, hypervisor_hostname="small.example.org"))
        # No filter is asked about a forced host; the claim is.
        forced = await cloud.boot("vm", token="admin", wait="ERROR", availability_zone="nova:small")
        assert "No valid host" in (await cloud.show(forced))["fault"]["message"]
        asked = await cloud.boot("vm", token="admin", wait="ERROR", host="small")
        assert "RamFilter" in (await cloud.show(asked))["fault"]["message"]
        for given in (
            {"host": "host1"},
            {"hypervisor_hostname": "fake-mini"},
            {"availability_zone": "nova:host1"},
            {"availability_zone": "::fake-mini"},
            {"availability_zone": "nova:host1:fake-mini"},
        ):
            server = await cloud.boot("vm", token="admin", **given)
            assert (await cloud.show(server))["OS-EXT-SRV-ATTR:host"] == "host1"
        for bad in ({"host": "absent"}, {"hypervisor_hostname": "absent"}):
            refused = await create(cloud, 400, token="admin", **bad)
            assert refused["badRequest"]["message"] == "Compute host absent could not be found."


async def test_what_this_cloud_lacks_is_refused_by_name(cloud: FakeCloud) -> None:
    certificates = await create(cloud, 400, trusted_image_certificates=["a"])
    assert "does not verify signatures" in certificates["badRequest"]["message"]
    volume = {"source_type": "volume", "uuid": cloud.image, "boot_index": 0}
    refused = await create(cloud, 400, imageRef=None, block_device_mapping_v2=[volume])
    assert "volume" in refused["badRequest"]["message"]
    missing = await create(cloud, 400, imageRef=None)
    assert missing["badRequest"]["message"] == "Missing imageRef attribute"
    networks = (await cloud.ask("GET", "/os-networks", 200, version="2.1"))["networks"]
    fixed = [{"uuid": networks[0]["id"], "fixed_ip": "10.1.0.77"}]
    several = await create(cloud, 400, networks=fixed, min_count=2)
    assert several["badRequest"]["message"] == (
        "Failed to launch instances: max_count cannot be greater than 1 if an fixed_ip is specified."
    )
    server = await cloud.boot("vm", networks=fixed)
    assert (await cloud.show(server))["addresses"]["private"][0]["addr"] == "10.1.0.77"
    closed = await cloud.add_image("closed", auto_disk_config="disabled")
    refused = await create(cloud, 400, imageRef=closed, **{"OS-DCF:diskConfig": "AUTO"})
    assert refused["badRequest"]["message"] == (
        f"Requested image {closed} has automatic disk resizing disabled."
    )
