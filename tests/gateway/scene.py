"""A cloud with one of everything, for tests that look at it and hardly change it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gateway.fake_cloud import FakeCloud, fake_cloud


@dataclass
class Scene:
    """The cloud, and the ids of what is in it."""

    cloud: FakeCloud
    ids: dict[str, str]

    async def ask(
        self, method: str, path: str, status: int, minor: int, token: str = "demo", **options: Any
    ) -> Any:
        """A request at a microversion; its JSON, if any."""
        filled = path.format(**self.ids)
        return await self.cloud.ask(method, filled, status, token, f"2.{minor}", **options)

    async def get(self, path: str, minor: int, token: str = "demo") -> Any:
        """The JSON of a GET that works."""
        return await self.ask("GET", path, 200, minor, token)


@asynccontextmanager
async def furnished_cloud(folder: Path) -> AsyncIterator[Scene]:
    """A running cloud with a server, its group, key pairs, an aggregate and what a new cloud has."""
    async with fake_cloud(folder) as cloud:
        group = {"server_group": {"name": "g", "policy": "anti-affinity"}}
        aggregate = {"aggregate": {"name": "a", "availability_zone": None}}
        group_id = (await cloud.ask("POST", "/os-server-groups", 200, json=group))["server_group"]["id"]
        for name in ("first", "second"):
            await cloud.ask("POST", "/os-keypairs", 201, version="2.91", json={"keypair": {"name": name}})
        server = await cloud.boot(
            availability_zone="nova",
            metadata={"k": "v"},
            tags=["t"],
            key_name="first",
            hints={"group": group_id},
        )
        actions = await cloud.ask("GET", f"/servers/{server}/os-instance-actions", 200)
        (old,) = (await cloud.ask("GET", "/os-hypervisors", 200, "admin", "2.1"))["hypervisors"]
        (host,) = (await cloud.ask("GET", "/os-hypervisors", 200, "admin"))["hypervisors"]
        made = await cloud.ask("POST", "/os-aggregates", 200, "admin", json=aggregate)
        networks = await cloud.ask("GET", "/os-networks", 200, version="2.1")
        ids = {
            "server": server,
            "request": actions["instanceActions"][0]["request_id"],
            "image": cloud.image,
            "network": networks["networks"][0]["id"],
            "nobody": "00000000-0000-4000-8000-000000000000",
            "host": host["id"],
            "host_number": str(old["id"]),
            "hypervisor": host["hypervisor_hostname"],
            "aggregate": str(made["aggregate"]["id"]),
            "group": group_id,
        }
        yield Scene(cloud, ids)
