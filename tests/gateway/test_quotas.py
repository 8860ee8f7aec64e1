"""Quota sets, quota classes and limits: their shapes by microversion, and what may be set."""

from pathlib import Path
from typing import Any

import pytest

from tests.gateway.fake_cloud import FakeCloud, fake_cloud

SETS = "/os-quota-sets"
CLASSES = "/os-quota-class-sets"
ALWAYS = {
    "instances",
    "cores",
    "ram",
    "metadata_items",
    "key_pairs",
    "server_groups",
    "server_group_members",
}
NETWORK = {"fixed_ips", "floating_ips", "security_groups", "security_group_rules"}
FILES = {"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"}
GROUPS = {"server_groups", "server_group_members"}


async def put(cloud: FakeCloud, path: str, status: int, **limits: Any) -> Any:
    """Set limits of a project, and answer what was said."""
    answer = await cloud.ask("PUT", f"{SETS}/{path}", status, "admin", json={"quota_set": limits})
    return answer["quota_set"] if status == 200 else answer["badRequest"]["message"]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.1", ALWAYS | NETWORK | FILES),
        ("2.35", ALWAYS | NETWORK | FILES),
        ("2.36", ALWAYS | FILES),
        ("2.56", ALWAYS | FILES),
        ("2.57", ALWAYS),
        ("latest", ALWAYS),
    ],
)
async def test_resources_by_microversion(tmp_path: Path, version: str, expected: set[str]) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        for path in (f"{SETS}/demo", f"{SETS}/demo/defaults", f"{SETS}/demo/detail"):
            shown = (await cloud.ask("GET", path, 200, version=version))["quota_set"]
            assert shown.pop("id") == "demo"
            assert shown.keys() == expected
        detail = shown["instances"]
        assert detail == {"limit": 10, "in_use": 0, "reserved": 0}
        for name in (ALWAYS | NETWORK | FILES) - expected:
            body = {"quota_set": {name: 1}}
            await cloud.ask("PUT", f"{SETS}/demo", 400, "admin", version, json=body)
        body = {"quota_set": dict.fromkeys(expected, 7)}
        changed = await cloud.ask("PUT", f"{SETS}/demo", 200, "admin", version, json=body)
        assert changed == body


async def test_a_project_has_its_own_until_they_are_deleted(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        assert (await put(cloud, "demo", 200, instances="5", cores=-1))["instances"] == 5
        shown = (await cloud.ask("GET", f"{SETS}/demo", 200))["quota_set"]
        assert (shown["instances"], shown["cores"], shown["ram"]) == (5, -1, 51200)
        assert (await cloud.ask("GET", f"{SETS}/other", 200, "admin"))["quota_set"]["instances"] == 10
        defaults = (await cloud.ask("GET", f"{SETS}/demo/defaults", 200))["quota_set"]
        assert defaults["instances"] == 10
        await cloud.ask("GET", f"{SETS}/demo", 403, "other")
        await cloud.ask("GET", f"{SETS}/demo/detail", 403, "other")
        await cloud.ask("PUT", f"{SETS}/demo", 403, json={"quota_set": {"instances": 50}})
        await cloud.ask("DELETE", f"{SETS}/demo", 403)
        await cloud.ask("DELETE", f"{SETS}/demo", 202, "admin")
        assert (await cloud.ask("GET", f"{SETS}/demo", 200))["quota_set"]["instances"] == 10


@pytest.mark.parametrize(
    "limits",
    [
        {"instances": -2},
        {"instances": "-2"},
        {"instances": "many"},
        {"instances": 2147483648},
        {"instances": None},
        {"colours": 1},
        {"force": "perhaps"},
    ],
)
async def test_limits_that_can_not_be(tmp_path: Path, limits: dict[str, Any]) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        await cloud.ask("PUT", f"{SETS}/demo", 400, "admin", json={"quota_set": limits})
        await cloud.ask("PUT", f"{CLASSES}/default", 400, "admin", json={"quota_class_set": limits})


async def test_not_below_what_is_used_unless_by_force(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        for _ in range(2):
            await cloud.boot(wait="")
        said = await put(cloud, "demo", 400, instances=1)
        assert said == (
            "Quota limit 1 for instances must be greater than or equal to already used and reserved 2."
        )
        # One that can't be keeps the others from being set.
        await put(cloud, "demo", 400, ram=60000, cores=1)
        assert (await cloud.ask("GET", f"{SETS}/demo", 200))["quota_set"]["ram"] == 51200
        assert (await put(cloud, "demo", 200, instances=1, force=True))["instances"] == 1
        body = {"server": {"name": "x", "imageRef": cloud.image, "flavorRef": "1", "networks": "none"}}
        refused = await cloud.ask("POST", "/servers", 403, json=body)
        assert refused["forbidden"]["message"] == (
            "Quota exceeded for instances: Requested 1, but already used 2 of 1 instances"
        )
        assert (await put(cloud, "demo", 200, instances=-1))["instances"] == -1
        await cloud.ask("POST", "/servers", 202, json=body)


async def test_a_user_has_a_part_of_the_project(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        mine, yours = "demo?user_id=u-demo", "demo?user_id=u-reader"
        assert (await put(cloud, mine, 200, instances=6))["instances"] == 6
        assert await put(cloud, yours, 400, instances=5) == (
            "Quota limit 5 for instances must be less than or equal to 4."
        )
        assert "less than or equal to 4" in await put(cloud, yours, 400, instances=-1)
        await put(cloud, yours, 200, instances=4)
        # What was given to users the project can't lose.
        assert "already used and reserved 10" in await put(cloud, "demo", 400, instances=9)
        shown = (await cloud.ask("GET", f"{SETS}/{mine}", 200))["quota_set"]
        assert (shown["instances"], shown["cores"]) == (6, 20)
        await put(cloud, mine, 200, instances=1)
        await cloud.boot(wait="")
        body = {"server": {"name": "x", "imageRef": cloud.image, "flavorRef": "1", "networks": "none"}}
        refused = await cloud.ask("POST", "/servers", 403, json=body)
        assert "already used 1 of 1 instances" in refused["forbidden"]["message"]
        detail = (await cloud.ask("GET", f"{SETS}/demo/detail?user_id=u-demo", 200))["quota_set"]
        assert detail["instances"] == {"limit": 1, "in_use": 1, "reserved": 0}
        await cloud.ask("DELETE", f"{SETS}/{mine}", 202, "admin")
        await cloud.ask("POST", "/servers", 202, json=body)
        assert (await cloud.ask("GET", f"{SETS}/{yours}", 200))["quota_set"]["instances"] == 4
        await cloud.ask("DELETE", f"{SETS}/demo", 202, "admin")
        assert (await cloud.ask("GET", f"{SETS}/{yours}", 200))["quota_set"]["instances"] == 10


async def test_the_class_default_holds_for_every_project(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        body = {"quota_class_set": {"instances": 3, "server_groups": 1}}
        await cloud.ask("PUT", f"{CLASSES}/default", 403, json=body)
        await cloud.ask("GET", f"{CLASSES}/default", 403)
        changed = await cloud.ask("PUT", f"{CLASSES}/default", 200, "admin", json=body)
        assert changed["quota_class_set"].items() >= body["quota_class_set"].items()
        assert "id" not in changed["quota_class_set"]
        assert (await cloud.ask("GET", f"{SETS}/demo", 200))["quota_set"]["instances"] == 3
        assert (await cloud.ask("GET", f"{SETS}/demo/defaults", 200))["quota_set"]["instances"] == 3
        limits = (await cloud.ask("GET", "/limits", 200))["limits"]["absolute"]
        assert (limits["maxTotalInstances"], limits["maxServerGroups"]) == (3, 1)
        server = {"name": "x", "imageRef": cloud.image, "flavorRef": "1", "networks": "none"}
        await cloud.ask("POST", "/servers", 403, json={"server": server | {"min_count": 4}})
        await put(cloud, "demo", 200, instances=4)
        await cloud.ask("POST", "/servers", 202, json={"server": server | {"min_count": 4}})
        # Another class is kept, and holds for nobody.
        await cloud.ask("PUT", f"{CLASSES}/gold", 200, "admin", json={"quota_class_set": {"cores": 1}})
        gold = (await cloud.ask("GET", f"{CLASSES}/gold", 200, "admin"))["quota_class_set"]
        assert (gold["id"], gold["cores"], gold["instances"]) == ("gold", 1, 10)
        assert (await cloud.ask("GET", f"{SETS}/demo", 200))["quota_set"]["cores"] == 20


@pytest.mark.parametrize(
    ("version", "shown", "settable"),
    [
        ("2.1", (ALWAYS | NETWORK | FILES) - GROUPS, ALWAYS | NETWORK | FILES),
        ("2.49", (ALWAYS | NETWORK | FILES) - GROUPS, ALWAYS | NETWORK | FILES),
        ("2.50", ALWAYS | FILES, ALWAYS | FILES),
        ("2.57", ALWAYS, ALWAYS),
    ],
)
async def test_classes_by_microversion(
    tmp_path: Path, version: str, shown: set[str], settable: set[str]
) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        path = f"{CLASSES}/default"
        found = (await cloud.ask("GET", path, 200, "admin", version))["quota_class_set"]
        assert found.keys() == shown | {"id"}
        body = {"quota_class_set": dict.fromkeys(settable, 5)}
        changed = (await cloud.ask("PUT", path, 200, "admin", version, json=body))["quota_class_set"]
        assert changed == dict.fromkeys(shown, 5)
        for name in (ALWAYS | NETWORK | FILES) - settable:
            await cloud.ask("PUT", path, 400, "admin", version, json={"quota_class_set": {name: 1}})


OLD_LIMITS = {
    "maxImageMeta",
    "maxPersonality",
    "maxPersonalitySize",
    "maxSecurityGroupRules",
    "maxSecurityGroups",
    "maxServerGroupMembers",
    "maxServerGroups",
    "maxServerMeta",
    "maxTotalCores",
    "maxTotalFloatingIps",
    "maxTotalInstances",
    "maxTotalKeypairs",
    "maxTotalRAMSize",
    "totalCoresUsed",
    "totalFloatingIpsUsed",
    "totalInstancesUsed",
    "totalRAMUsed",
    "totalSecurityGroupsUsed",
    "totalServerGroupsUsed",
}
OF_NETWORKS = {
    "maxSecurityGroupRules",
    "maxSecurityGroups",
    "maxTotalFloatingIps",
    "totalFloatingIpsUsed",
    "totalSecurityGroupsUsed",
}
OF_FILES = {"maxPersonality", "maxPersonalitySize"}


async def test_limits_by_microversion(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        await cloud.boot(wait="")
        group = {"server_group": {"name": "g", "policy": "affinity"}}
        await cloud.ask("POST", "/os-server-groups", 200, json=group)
        for version, gone in (
            ("2.1", set()),
            ("2.36", OF_NETWORKS),
            ("2.39", OF_NETWORKS | {"maxImageMeta"}),
            ("2.57", OF_NETWORKS | OF_FILES | {"maxImageMeta"}),
        ):
            found = (await cloud.ask("GET", "/limits?reserved=1", 200, version=version))["limits"]
            assert found["rate"] == []
            assert found["absolute"].keys() == OLD_LIMITS - gone
        found = found["absolute"]
        used = [found[name] for name in ("totalInstancesUsed", "totalCoresUsed", "totalRAMUsed")]
        assert (used, found["totalServerGroupsUsed"]) == ([1, 1, 512], 1)
        theirs = await cloud.ask("GET", "/limits?tenant_id=demo", 200, "admin")
        assert theirs["limits"]["absolute"] == found
        await cloud.ask("GET", "/limits?tenant_id=other", 403)
        await cloud.ask("GET", "/limits?colour=1", 400)
