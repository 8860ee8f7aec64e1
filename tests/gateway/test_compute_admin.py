"""What administrators use: services, hypervisors, zones, quotas, limits, networks."""

from typing import Any

from tests.gateway.compute_things import NETWORK, made_instance
from tests.gateway.compute_world import World, compute_world


async def answer(world: World, path: str, version: str = "2.1", token: str = "admin") -> Any:
    response = await world.get(path, version=version, token=token)
    assert response.status == 200, await response.text()
    return await response.json()


async def test_services() -> None:
    async with compute_world() as world:
        compute, conductor = (await answer(world, "/os-services"))["services"]
        assert (compute["binary"], compute["id"], compute["zone"]) == ("nova-compute", 1, "nova")
        assert (conductor["binary"], conductor["zone"], conductor["state"]) == (
            "nova-conductor", "internal", "up",
        )  # fmt: skip
        assert "forced_down" not in compute
        (compute,) = (await answer(world, "/os-services?binary=nova-compute", "2.53"))["services"]
        assert compute["id"] == world.hosts["host1"].id
        assert (await world.get("/os-services")).status == 403


async def test_a_service_is_disabled_by_name_up_to_2_52_and_then_by_id() -> None:
    async with compute_world() as world:

        async def put(action: str, body: dict[str, Any], version: str) -> Any:
            return await world.request(
                "PUT", f"/os-services/{action}", json=body, token="admin", version=version
            )

        named = {"host": "host1", "binary": "nova-compute"}
        assert (await put("disable-log-reason", named | {"disabled_reason": "sick"}, "2.1")).status == 200
        assert (world.hosts["host1"].enabled, world.hosts["host1"].disabled_reason) == (False, "sick")
        assert (await put("enable", named, "2.1")).status == 200
        assert (await put("force-down", named | {"forced_down": True}, "2.11")).status == 200
        assert world.hosts["host1"].forced_down
        (other,) = (await answer(world, "/os-services?binary=nova-conductor"))["services"]
        assert (await put("enable", {key: other[key] for key in named}, "2.1")).status == 400
        assert (await put("enable", named | {"binary": "nova-scheduler"}, "2.1")).status == 404
        assert (await put("enable", named | {"host": "host9"}, "2.1")).status == 404
        assert (await put("enable", named, "2.53")).status == 404
        host_id = world.hosts["host1"].id
        body = {"status": "disabled", "disabled_reason": "again", "forced_down": False}
        response = await put(host_id, body, "2.53")
        changed = (await response.json())["service"]
        assert (changed["status"], changed["disabled_reason"], changed["forced_down"]) == (
            "disabled", "again", False,
        )  # fmt: skip
        assert (await put(host_id, {}, "2.53")).status == 400
        assert (await put(host_id, {"status": "enabled", "disabled_reason": "x"}, "2.53")).status == 400
        assert (await put("1", body, "2.53")).status == 400


async def test_a_compute_s_record_is_removed() -> None:
    async with compute_world() as world:
        path = f"/os-services/{world.hosts['host1'].id}"
        assert (await world.request("DELETE", path, token="admin", version="2.53")).status == 204
        assert (await world.request("DELETE", path, token="admin", version="2.53")).status == 404


async def test_hypervisors() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        host = world.hosts["host1"]
        (brief,) = (await answer(world, "/os-hypervisors"))["hypervisors"]
        assert brief == {
            "id": 1,
            "hypervisor_hostname": "host1.example.org",
            "state": "up",
            "status": "enabled",
        }
        old = (await answer(world, "/os-hypervisors/1"))["hypervisor"]
        assert isinstance(old["cpu_info"], str)
        assert (old["vcpus"], old["memory_mb_used"], old["free_disk_gb"]) == (4, 1024, 99)
        middle = (await answer(world, f"/os-hypervisors/{host.id}?with_servers=1", "2.53"))["hypervisor"]
        assert middle["cpu_info"]["arch"] == "x86_64"
        assert middle["servers"] == [{"name": "instance-00000001", "uuid": server.id}]
        new = (await answer(world, f"/os-hypervisors/{host.id}", "2.88"))["hypervisor"]
        assert new["uptime"] == "up 3 days"
        assert "vcpus" not in new
        sums = (await answer(world, "/os-hypervisors/statistics"))["hypervisor_statistics"]
        assert (sums["count"], sums["vcpus"], sums["running_vms"]) == (1, 4, 1)
        assert (await world.get("/os-hypervisors/statistics", token="admin", version="2.88")).status == 404
        found = await answer(world, "/os-hypervisors?hypervisor_hostname_pattern=host", "2.53")
        assert len(found["hypervisors"]) == 1
        for path, version, status in (
            ("/os-hypervisors/9", "2.1", 404),
            ("/os-hypervisors/1", "2.53", 400),
            ("/os-hypervisors?hypervisor_hostname_pattern=absent", "2.53", 404),
            ("/os-hypervisors?marker=9", "2.33", 400),
        ):
            assert (await world.get(path, token="admin", version=version)).status == status
        assert (await world.get("/os-hypervisors")).status == 403


async def test_quotas() -> None:
    async with compute_world() as world:
        path = "/os-quota-sets/demo"
        quotas = (await answer(world, path, token="demo"))["quota_set"]
        assert quotas["id"] == "demo"
        assert {"fixed_ips", "injected_files"} <= quotas.keys()
        quotas = (await answer(world, path, "2.36"))["quota_set"]
        assert "fixed_ips" not in quotas
        assert "injected_files" not in (await answer(world, path, "2.57"))["quota_set"]
        assert (await world.get("/os-quota-sets/other")).status == 403
        detail = (await answer(world, path + "/detail"))["quota_set"]
        assert detail["cores"] == {"limit": 10, "in_use": 1, "reserved": 0}
        body = {"quota_set": {"cores": "30", "force": True}}
        assert (await world.request("PUT", path, json=body)).status == 403
        response = await world.request("PUT", path, json=body, token="admin")
        assert (await response.json())["quota_set"]["cores"] == 30
        for wrong in ({"cores": -2}, {"cores": "many"}, {"volumes": 1}):
            response = await world.request("PUT", path, json={"quota_set": wrong}, token="admin")
            assert response.status == 400
        assert (await world.request("DELETE", path, token="admin")).status == 202
        assert (await answer(world, path + "/defaults", token="demo"))["quota_set"]["cores"] == 10


async def test_limits() -> None:
    async with compute_world() as world:
        old = (await answer(world, "/limits", token="demo"))["limits"]
        assert old["rate"] == []
        assert {"maxTotalCores", "totalCoresUsed", "maxPersonality", "maxImageMeta", "maxSecurityGroups"} <= (
            old["absolute"].keys()
        )
        new = (await answer(world, "/limits", "2.57", "demo"))["limits"]["absolute"]
        assert not {"maxPersonality", "maxImageMeta", "maxSecurityGroups"} & new.keys()
        assert (await world.get("/limits?tenant_id=other")).status == 403
        assert (await world.get("/limits?tenant_id=other", token="admin")).status == 200


async def test_networks_up_to_2_35() -> None:
    async with compute_world() as world:
        (network,) = (await answer(world, "/os-networks", token="demo"))["networks"]
        assert (network["label"], network["netmask"], network["broadcast"]) == (
            "private", "255.255.255.0", "10.0.0.255",
        )  # fmt: skip
        assert "bridge" not in network
        shown = (await answer(world, f"/os-networks/{NETWORK}"))["network"]
        assert (shown["bridge"], shown["enable_dhcp"], shown["multi_host"]) == ("br100", True, False)
        assert (await world.get("/os-networks/private")).status == 404
        (mine,) = (await answer(world, "/os-tenant-networks", token="demo"))["networks"]
        assert mine == {"id": NETWORK, "label": "private", "cidr": "10.0.0.0/24"}
        body = {"network": {"label": "second", "cidr": "10.1.0.0/24"}}
        assert (await world.request("POST", "/os-networks", json=body)).status == 403
        response = await world.request("POST", "/os-networks", json=body, token="admin")
        made = (await response.json())["network"]["id"]
        assert (await world.request("DELETE", f"/os-networks/{made}", token="admin")).status == 202
        for wrong in ({"label": "x"}, {"label": "x", "cidr": "10"}, {"cidr": "10.1.0.0/24"}):
            response = await world.request("POST", "/os-networks", json={"network": wrong}, token="admin")
            assert response.status == 400
        assert (await world.get("/os-networks", version="2.36")).status == 404


async def test_extensions() -> None:
    async with compute_world() as world:
        listed = (await answer(world, "/extensions", token="demo"))["extensions"]
        assert "os-keypairs" in {extension["alias"] for extension in listed}
        assert (await answer(world, "/extensions/OS-DCF", token="demo"))["extension"]["name"] == "DiskConfig"
        assert len(listed) == 99
        assert [extension["alias"] for extension in listed] == sorted(e["alias"] for e in listed)
        # Only the face from before microversions has this one.
        assert (await world.get("/extensions/OS-EXT-VIF-NET")).status == 404
