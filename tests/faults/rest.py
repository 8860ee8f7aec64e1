"""The REST APIs as a user sees them, and nothing between: errors are what these tests are about."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from cli.settings import Settings
from cli.state import StateDirectory

# How long anything may take on a busy machine, in seconds. Nothing is said of how long it does take.
PATIENCE = 60.0
VERSION = "2.96"


class Site(Protocol):
    """A cloud that somebody has up."""

    @property
    def settings(self) -> Settings:
        """Its configuration."""
        ...

    @property
    def state(self) -> StateDirectory:
        """Its files."""
        ...

    def guests(self) -> set[str]:
        """Ids of the guests that run on its host."""
        ...


@dataclass
class Answer:
    """What came back."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def message(self) -> str:
        """The sentence of an error, which is wrapped in its name."""
        assert isinstance(self.body, dict) and len(self.body) == 1, self.body
        return str(next(iter(self.body.values()))["message"])


@dataclass
class Rest:
    """One user's view of a cloud."""

    session: aiohttp.ClientSession
    cloud: Site
    token: str = ""
    project_id: str = ""
    named: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, url: str, **options: Any) -> Answer:
        """A request to a full URL, or to the Compute API for a path."""
        if url.startswith("/"):
            api = self.cloud.settings.api
            url = f"http://{api.osapi_compute_listen}:{api.osapi_compute_listen_port}/v2.1{url}"
        headers = {"OpenStack-API-Version": f"compute {VERSION}", **options.pop("headers", {})}
        if self.token:
            headers.setdefault("X-Auth-Token", self.token)
        async with self.session.request(method, url, headers=headers, **options) as response:
            content = await response.read()
            body = await response.json() if content and "json" in response.content_type else content
            return Answer(response.status, body, dict(response.headers))

    @property
    def identity(self) -> str:
        """The Identity API."""
        return self.cloud.settings.identity_api.identity_url

    @property
    def images(self) -> str:
        """The Image API."""
        image = self.cloud.settings.image_api
        return f"http://{image.bind_host}:{image.bind_port}/v2"

    async def authenticate(self, user: str, password: str = "", project: str = "") -> Answer:
        """Ask for a token."""
        who = {
            "name": user,
            "domain": {"name": "Default"},
            "password": password or self.cloud.state.passwords().get(user, ""),
        }
        scope = {"project": {"name": project or user, "domain": {"name": "Default"}}}
        auth = {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}
        return await self.ask("POST", f"{self.identity}/auth/tokens", json={"auth": auth}, headers={})

    async def create(self, name: str, **options: Any) -> Answer:
        """Ask for servers: m1.tiny from the image `tiny` unless told otherwise."""
        server = {
            "name": name,
            "flavorRef": "1",
            "imageRef": await self.image("tiny"),
            "networks": "auto",
            **options,
        }
        return await self.ask("POST", "/servers", json={"server": server})

    async def image(self, name: str) -> str:
        """The id of an image."""
        if name not in self.named:
            listed = await self.ask("GET", f"{self.images}/images", params={"name": name})
            self.named[name] = listed.body["images"][0]["id"]
        return self.named[name]

    async def servers(self) -> dict[str, dict[str, Any]]:
        """The project's servers by id."""
        found: dict[str, dict[str, Any]] = {}

        async def listed() -> bool:
            answer = await self.ask("GET", "/servers/detail", params={"limit": "500"})
            # A conductor that has just come back may not be found yet.
            assert answer.status in (200, 503), answer
            if answer.status == 200:
                found.update((server["id"], server) for server in answer.body["servers"])
            return answer.status == 200

        await until(listed, "the servers are listed")
        return found

    async def settled(self, server_id: str) -> dict[str, Any]:
        """A server once nothing is done to it."""
        found: dict[str, Any] = {}

        async def at_rest() -> bool:
            answer = await self.ask("GET", f"/servers/{server_id}")
            assert answer.status in (200, 503), answer
            if answer.status == 503:
                return False
            found.update(answer.body["server"])
            return found["status"] != "BUILD" and found["OS-EXT-STS:task_state"] is None

        await until(at_rest, f"server {server_id} settles")
        return found

    async def active(self, name: str, **options: Any) -> str:
        """The id of a new server that runs."""
        answer = await self.create(name, **options)
        assert answer.status == 202, answer
        server = await self.settled(answer.body["server"]["id"])
        assert server["status"] == "ACTIVE", server
        return str(server["id"])

    async def delete_all(self) -> None:
        """Delete every server of the project, and wait until they are gone."""

        async def gone() -> bool:
            servers = await self.servers()
            wanted = [i for i, one in servers.items() if one["OS-EXT-STS:task_state"] != "deleting"]
            answers = await asyncio.gather(*(self.ask("DELETE", f"/servers/{one}") for one in wanted))
            assert all(answer.status in (204, 404, 503) for answer in answers), answers
            return not servers

        await until(gone, "all servers are deleted")


async def until(
    true: Callable[[], Awaitable[bool]], what: str, timeout: float = PATIENCE, pause: float = 0.1
) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout
    while not await true():
        assert time.monotonic() < deadline, f"waited {timeout:.0f} s, and it isn't so: {what}"
        await asyncio.sleep(pause)


@contextlib.asynccontextmanager
async def logged_in(cloud: Site, user: str = "demo") -> AsyncIterator[Rest]:
    """A user of the cloud, with a token of the project of the same name."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        rest = Rest(session, cloud)

        async def answered() -> bool:
            try:
                answer = await rest.authenticate(user)
            except aiohttp.ClientError:
                return False
            if answer.status != 201:
                return False
            rest.token = answer.headers["X-Subject-Token"]
            rest.project_id = answer.body["token"]["project"]["id"]
            return True

        await until(answered, f"{user} can log in")
        yield rest
