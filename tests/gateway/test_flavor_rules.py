"""Flavors as Nova has them, in front of a real conductor: lists, extra specs that are checked, access."""

from pathlib import Path
from typing import Any

import pytest

from gateway.compute.extra_specs import wrong
from tests.gateway.fake_cloud import FakeCloud, fake_cloud

SPECS = "/flavors/1/os-extra_specs"


async def make(cloud: FakeCloud, name: str, /, version: str = "2.55", **given: Any) -> dict[str, Any]:
    """A new flavor; `hidden` is for one that is not public."""
    if given.pop("hidden", False):
        given["os-flavor-access:is_public"] = False
    body = {"flavor": {"name": name, "ram": 64, "vcpus": 1, "disk": 1} | given}
    made: dict[str, Any] = (await cloud.ask("POST", "/flavors", 200, "admin", version, json=body))["flavor"]
    return made


async def ids(cloud: FakeCloud, query: str, token: str = "demo", version: str = "latest") -> list[str]:
    """The ids of a list."""
    found = await cloud.ask("GET", f"/flavors?{query}", 200, token, version)
    return [one["id"] for one in found["flavors"]]


async def test_ids_are_made_where_none_is_chosen(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        for given in ({"id": "auto"}, {"id": None}, {}):
            made = await make(cloud, f"f{given}", **given)
            assert len(made["id"]) == 36
        assert (await make(cloud, "number", id=77))["id"] == "77"
        for body, said in (
            ({"name": "number", "id": "78"}, "Flavor with name number already exists."),
            ({"name": "other", "id": "77"}, "Flavor with ID 77 already exists."),
        ):
            flavor = {"flavor": {"ram": 64, "vcpus": 1, "disk": 1} | body}
            answer = await cloud.ask("POST", "/flavors", 409, "admin", json=flavor)
            assert answer["conflictingRequest"]["message"] == said


async def test_what_a_microversion_shows(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        made = await make(cloud, "x", version="2.54", id="9", swap=0, rxtx_factor="1.5")
        assert (made["swap"], made["rxtx_factor"]) == ("", 1.5)
        assert "description" not in made
        await cloud.ask("POST", "/flavors/9/os-extra_specs", 200, "admin", json={"extra_specs": {"a": "b"}})
        for version, has, lacks in (
            ("2.55", {"description"}, {"extra_specs"}),
            ("2.61", {"description", "extra_specs", "rxtx_factor"}, set()),
            ("2.102", {"extra_specs"}, {"rxtx_factor", "OS-FLV-DISABLED:disabled"}),
        ):
            shown = (await cloud.ask("GET", "/flavors/9", 200, version=version))["flavor"]
            assert has <= shown.keys()
            assert not lacks & shown.keys()
            detailed = (await cloud.ask("GET", "/flavors/detail", 200, version=version))["flavors"]
            assert detailed[-1] == shown
        assert (await cloud.ask("GET", "/flavors/9", 200, version="2.75"))["flavor"]["swap"] == 0
        flavor = {"flavor": {"name": "y", "ram": 1, "vcpus": 1, "disk": 0, "rxtx_factor": 1}}
        await cloud.ask("POST", "/flavors", 400, "admin", "2.102", json=flavor)
        flavor["flavor"].pop("rxtx_factor")
        flavor["flavor"]["description"] = "x" * 65536
        await cloud.ask("POST", "/flavors", 400, "admin", json=flavor)


async def test_lists_are_chosen_sorted_and_paged(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        await make(cloud, "a", id="c", ram=4096, disk=40)
        await make(cloud, "hidden", id="h", hidden=True)
        assert await ids(cloud, "") == ["1", "2", "c"]
        assert await ids(cloud, "", "admin") == ["1", "2", "c"]
        assert await ids(cloud, "is_public=None", "admin") == ["1", "2", "c", "h"]
        assert await ids(cloud, "is_public=none") == ["1", "2", "c"]
        assert await ids(cloud, "is_public=False", "admin") == ["h"]
        assert await ids(cloud, "is_public=False") == ["1", "2", "c"]
        assert await ids(cloud, "minRam=1024&minDisk=2") == ["2", "c"]
        assert await ids(cloud, "sort_key=memory_mb&sort_dir=desc") == ["c", "2", "1"]
        assert await ids(cloud, "sort_key=id") == ["1", "2", "c"]
        assert await ids(cloud, "sort_key=name&limit=1") == ["c"]
        assert await ids(cloud, "sort_key=name&limit=1&marker=c") == ["2"]
        assert await ids(cloud, "name=m1.small", version="2.102") == ["2"]
        assert await ids(cloud, "name=m1.small", version="2.74") == ["1", "2", "c"]
        assert await ids(cloud, "name=hidden") == []
        for wrong_query in ("minRam=x", "is_public=x", "sort_key=x", "marker=x", "limit=-1", "colour=x"):
            await cloud.ask("GET", f"/flavors?{wrong_query}", 400, "admin")


async def test_a_private_flavor_is_for_whom_it_is_opened(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        await make(cloud, "hidden", id="h", hidden=True)
        assert await cloud.ask("GET", "/flavors/h/os-flavor-access", 200, "admin") == {"flavor_access": []}
        await cloud.ask("GET", "/flavors/h", 404)
        for project in ("demo", "admin"):
            body = {"addTenantAccess": {"tenant": project}}
            await cloud.ask("POST", "/flavors/h/action", 200, "admin", json=body)
        await cloud.ask("GET", "/flavors/h", 200)
        await cloud.ask("GET", "/flavors/h", 404, "other")
        assert "h" in await ids(cloud, "")
        # An administrator's own list has what is open to the administrator's project.
        assert "h" in await ids(cloud, "", "admin")
        body = {"addTenantAccess": {"tenant": "demo"}}
        await cloud.ask("POST", "/flavors/1/action", 409, "admin", "2.7", json=body)
        await cloud.ask("POST", "/flavors/1/action", 200, "admin", "2.6", json=body)
        body = {"removeTenantAccess": {"tenant": "demo"}}
        await cloud.ask("POST", "/flavors/h/action", 200, "admin", json=body)
        await cloud.ask("GET", "/flavors/h", 404)


async def test_extra_specs_are_checked_from_2_86_on(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        bad = {"extra_specs": {"hw:cpu_policy": "sharrred"}}
        await cloud.ask("POST", SPECS, 200, "admin", "2.85", json=bad)
        answer = await cloud.ask("POST", SPECS, 400, "admin", "2.86", json=bad)
        assert answer["badRequest"]["message"] == (
            "Validation failed; 'sharrred' is not one of: dedicated, shared, mixed."
        )
        unknown = {"hw:colour": "red"}
        answer = await cloud.ask("PUT", f"{SPECS}/hw:colour", 400, "admin", "2.86", json=unknown)
        assert "'hw:colour' does not appear to be a valid extra spec" in str(answer)
        good = {"extra_specs": {"hw:numa_nodes": 2, "mine": "x", "my:own": "y", "resources1:VCPU": "2"}}
        assert await cloud.ask("POST", SPECS, 200, "admin", "2.86", json=good) == good
        kept = (await cloud.ask("GET", SPECS, 200))["extra_specs"]
        assert kept["hw:numa_nodes"] == "2"
        for value in (True, None, ["x"], "x" * 256):
            await cloud.ask("PUT", f"{SPECS}/mine", 400, "admin", "2.1", json={"mine": value})
        for key in ("", "a/b", "x" * 256):
            await cloud.ask("POST", SPECS, 400, "admin", "2.1", json={"extra_specs": {key: "x"}})
        await cloud.ask("PUT", f"{SPECS}/mine", 400, "admin", json={"mine": "1", "more": "2"})
        await cloud.ask("GET", f"{SPECS}/absent", 404)
        gone = await cloud.ask("DELETE", f"{SPECS}/absent", 404, "admin")
        assert gone["itemNotFound"]["message"] == "Flavor 1 has no extra specs with key absent."


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("hw:boot_menu", "yes", "perhaps"),
        ("hw:cpu_realtime_mask", "^0-1,3", "all"),
        ("hw:mem_page_size", "2MB", "2 MB"),
        ("hw:numa_nodes", "1", "0"),
        ("hw:numa_cpus.0", "0,1", "zero"),
        ("hw:numa_mem.12", "512", "-1"),
        ("hw:watchdog_action", "reset", "bark"),
        ("hw:pmem", "A_1,B", "a-b"),
        ("hw_rng:allowed", "True", "maybe"),
        ("hw_rng:rate_bytes", "0", "-1"),
        ("os:secure_boot", "required", "yes"),
        ("quota:cpu_shares", "10", "-10"),
        ("quota:disk_read_iops_sec", "10", "ten"),
        ("quota:vif_outbound_peak", "1", "1.5"),
        ("quota:memory_limit", "-1", "x"),
        ("pci_passthrough:alias", "gpu:1, nic:2", "gpu"),
        ("resources:CUSTOM_GOLD", "1", "one"),
        ("resources_NET:VGPU", "1", ""),
        ("trait:HW_CPU_X86_AVX", "required", "wanted"),
        ("trait2:CUSTOM_RED", "forbidden", "no"),
        ("group_policy", "isolate", "both"),
    ],
)
def test_what_an_extra_spec_may_be(name: str, good: str, bad: str) -> None:
    assert wrong(name, good) == ""
    assert wrong(name, bad).startswith("Validation failed; ")


@pytest.mark.parametrize(
    "name",
    [
        "hw:cpu",
        "hw:numa_cpus.x",
        "hw_rng:x",
        "os:x",
        "quota:cpu",
        "quota:disk_io",
        "pci_passthrough:x",
        "resources:GOLD",
        "resources5:vcpu",
        "trait:lower",
        "accel:x",
        "capabilities:colour",
        "vmware:x",
    ],
)
def test_names_that_known_namespaces_do_not_have(name: str) -> None:
    assert "does not appear to be a valid extra spec" in wrong(name, "1")


@pytest.mark.parametrize(
    "name",
    [
        "mine",
        "my:own",
        "capabilities:cpu_info:features",
        "capabilities:hypervisor_type",
        "aggregate_instance_extra_specs:a b",
        "accel:device_profile",
        "filter_tenant_id",
        "hwx:y",
    ],
)
def test_names_that_may_be_anything(name: str) -> None:
    assert wrong(name, "<or> a <or> b") == ""
