"""No route asks the database once for each record: a GET costs the same among few records and among many."""

from pathlib import Path
from typing import Any

import pytest

from gateway.compute.app import ROUTES
from gateway.compute.history import MAXIMUM
from gateway.routes import Route
from tests.gateway.fake_cloud import FakeCloud, fake_cloud

# What the last parameter of a path below a server names.
BELOW_A_SERVER = {"metadata": "k", "tags": "a", "ips": "private"}
# What a parameter names where it is not a record that the test has made.
FIXED = {
    "/extensions/{id}": "os-keypairs",
    "/flavors/{flavor_id}/os-extra_specs/{id}": "hw:cpu_policy",
    "/images/{image_id}/metadata/{id}": "k",
    "/os-quota-class-sets/{id}": "default",
    "/os-quota-sets/{id}": "demo",
    "/os-quota-sets/{id}/detail": "demo",
    "/os-quota-sets/{id}/defaults": "demo",
    "/os-simple-tenant-usage/{id}": "demo",
    "/os-instance_usage_audit_log/{id}": "2026-01-01%2000:00:00",
    "/os-hosts/{id}": "host1",
    "/os-hypervisors/{id}/search": "host",
    "/os-hypervisors/{id}/servers": "host",
    "/os-keypairs/{id}": "k0",
}
RECORDS = {
    "servers": "server",
    "flavors": "flavor",
    "images": "image",
    "os-networks": "network",
    "os-tenant-networks": "network",
    "os-hypervisors": "hypervisor",
    "os-aggregates": "aggregate",
    "os-server-groups": "group",
}
READS = [route for route in ROUTES if route.method == "GET"]


async def _add(cloud: FakeCloud, number: int) -> dict[str, str]:
    """One more of everything that a list shows."""
    known: dict[str, str] = {}
    group = {"server_group": {"name": f"g{number}", "policy": "soft-affinity"}}
    known["group"] = (await cloud.ask("POST", "/os-server-groups", 200, json=group))["server_group"]["id"]
    keypair = {"keypair": {"name": f"k{number}"}}
    await cloud.ask("POST", "/os-keypairs", 201, version="2.90", json=keypair)
    flavor = {"name": f"f{number}", "ram": 64, "vcpus": 1, "disk": 1}
    made = await cloud.ask("POST", "/flavors", 200, "admin", json={"flavor": flavor})
    known["flavor"] = made["flavor"]["id"]
    specs = {"extra_specs": {"hw:cpu_policy": "shared"}}
    await cloud.ask("POST", f"/flavors/{known['flavor']}/os-extra_specs", 200, "admin", json=specs)
    network = {"network": {"label": f"n{number}", "cidr": f"10.{number + 2}.0.0/28"}}
    made = await cloud.ask("POST", "/os-networks", 200, "admin", version="2.1", json=network)
    known["network"] = made["network"]["id"]
    known["image"] = await cloud.add_image(f"i{number}", k="v")
    aggregate = {"aggregate": {"name": f"a{number}", "availability_zone": None}}
    made = await cloud.ask("POST", "/os-aggregates", 200, "admin", json=aggregate)
    known["aggregate"] = str(made["aggregate"]["id"])
    await cloud.add_host(f"more{number}")
    body = {"add_host": {"host": f"more{number}"}}
    await cloud.ask("POST", f"/os-aggregates/{known['aggregate']}/action", 200, "admin", json=body)
    known["server"] = await cloud.boot(
        f"vm{number}",
        flavorRef=known["flavor"],
        imageRef=known["image"],
        metadata={"k": "v"},
        tags=["a", "b"],
        key_name=f"k{number}",
        hints={"group": known["group"]},
        networks=[{"uuid": known["network"]}],
    )
    return known


def _path(route: Route, known: dict[str, str]) -> str:
    steps = route.path.strip("/").split("/")
    last = max((place for place, step in enumerate(steps) if step.startswith("{")), default=-1)
    for place, step in enumerate(steps):
        if not step.startswith("{"):
            continue
        if place == last and route.path in FIXED:
            steps[place] = FIXED[route.path]
        elif place > 1 and steps[0] == "servers":
            steps[place] = BELOW_A_SERVER.get(steps[place - 1], "none")
        else:
            steps[place] = known.get(RECORDS.get(steps[0], ""), "none")
    return "/" + "/".join(steps)


async def _costs(cloud: FakeCloud, known: dict[str, str]) -> dict[str, int]:
    """How many statements each GET takes, by label and version."""
    costs: dict[str, int] = {}
    for route in READS:
        minor = MAXIMUM if route.last is None else route.last
        headers = {"X-Auth-Token": "admin", "OpenStack-API-Version": f"compute 2.{minor}"}
        cloud.log.clear()
        response = await cloud.client.get("/v2.1" + _path(route, known), headers=headers)
        await response.read()
        assert response.status != 500, (route.label, await response.text())
        request_id = response.headers["X-OpenStack-Request-ID"]
        costs[f"{route.label} 2.{minor}"] = sum(1 for whose, _ in cloud.log if whose == request_id)
    return costs


async def test_no_read_grows_with_the_records(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        quota: dict[str, Any] = {"quota_set": {"instances": 100, "cores": 100, "key_pairs": 100}}
        await cloud.ask("PUT", "/os-quota-sets/demo", 200, "admin", json=quota)
        known = await _add(cloud, 0)
        few = await _costs(cloud, known)
        for number in range(1, 5):
            await _add(cloud, number)
        many = await _costs(cloud, known)
    grown = {label: (few[label], count) for label, count in many.items() if count > few[label]}
    assert not grown
    dear = {label: count for label, count in many.items() if count > 12}
    assert not dear


@pytest.mark.parametrize("path", ["/servers", "/servers/detail"])
async def test_a_page_of_servers_is_one_call_and_few_statements(tmp_path: Path, path: str) -> None:
    async with fake_cloud(tmp_path) as cloud:
        for number in range(6):
            await cloud.boot(f"vm{number}", tags=["a"], metadata={"k": "v"})
        for limit in (1, 5):
            answer = await cloud.ask("GET", f"{path}?limit={limit}", 200)
            assert len(answer["servers"]) == limit
            assert len(cloud.statements) <= 3, cloud.statements


async def test_many_servers_in_one_request_cost_little_more_than_one(tmp_path: Path) -> None:
    """Two statements more, by which the records learn their numbers."""
    async with fake_cloud(tmp_path) as cloud:
        await cloud.boot("first")
        counts = []
        for number in (1, 6):
            server = {
                "name": "vm",
                "imageRef": cloud.image,
                "flavorRef": cloud.flavor,
                "networks": "auto",
                "min_count": number,
                "metadata": {"k": "v"},
                "tags": ["a"],
            }
            made = await cloud.ask("POST", "/servers", 202, json={"server": server})
            counts.append(len(cloud.statements))
            # Work that still goes on would share its transaction with the next request.
            await cloud.until(made["server"]["id"], "ACTIVE")
        assert counts[1] == counts[0] + 2
