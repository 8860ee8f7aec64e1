"""A throw-away cloud for tests: its own CA, real servers on free ports, or all in memory.

async with local_node(MyRole()) as node:
    stub = FlavorServiceStub(node.channel("conductor"))     # calls as a gateway

async with local_node(wire=True) as node:
    conductor = await node.peer("conductor")                # a node of its own identity
    await conductor.add(ConductorRole(conductor, options), "127.0.0.1:0")
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from services.mesh.authority import Authority
from services.mesh.binding import Binding, Role
from services.mesh.identity import Peer
from services.mesh.local import Neighbours
from services.mesh.node import Node, NodeOptions

FREE_PORT = "127.0.0.1:0"
CLUSTER = "testcloud"


@dataclass(frozen=True)
class ServiceRole:
    """A role that is nothing but its bindings, for a servicer under test."""

    name: str
    served: Sequence[Binding]

    def bindings(self) -> Sequence[Binding]:
        """The bindings given."""
        return self.served

    async def start(self) -> None:
        """Nothing to begin."""

    async def stop(self) -> None:
        """Nothing to end."""


class _PeerNode(Node):
    """A node that tells the test cloud where its role answers."""

    book: dict[str, str]

    async def add(self, role: Role, address: str = FREE_PORT) -> str:
        """Serve a role, and let the others find it by name."""
        bound = await super().add(role, address)
        known = self.book.get(role.name)
        self.book[role.name] = f"{known},{bound}" if known else bound
        return bound


class LocalNode(_PeerNode):
    """A node of a throw-away cloud, which can make the other nodes of it."""

    authority: Authority
    _others: list[Node]

    async def peer(self, role: str, host: str = "host1", options: NodeOptions | None = None) -> _PeerNode:
        """Another running node of the same cloud, with a certificate of its own."""
        certificate = self.authority.issue(Peer(CLUSTER, role, host))
        node = _PeerNode(certificate, self.book, self.neighbours, options or self.options)
        node.book = self.book
        await node.start()
        self._others.append(node)
        return node

    async def serve(self, role: Role, host: str = "host1") -> str:
        """Serve a role on a node of its own; returns its address."""
        node = await self.peer(role.name, host)
        return await node.add(role)

    async def stop(self) -> None:
        """Stop the whole cloud, last made first."""
        for node in reversed(self._others):
            await node.stop()
        await super().stop()


@asynccontextmanager
async def local_node(
    *roles: Role,
    identity: str = "gateway",
    host: str = "host1",
    wire: bool = False,
    options: NodeOptions | None = None,
) -> AsyncIterator[LocalNode]:
    """A running cloud that serves `roles`; the node given is certified as `identity` on `host`.

    In memory unless `wire`, which sends every call through mutual TLS on 127.0.0.1.
    """
    authority = Authority.create(CLUSTER)
    book: dict[str, str] = {}
    # Tests don't wait for calls that they left behind.
    settings = options or replace(NodeOptions(), grace=0.0)
    node = LocalNode(
        authority.issue(Peer(CLUSTER, identity, host)), book, None if wire else Neighbours(), settings
    )
    node.book, node.authority, node._others = book, authority, []
    await node.start()
    try:
        for role in roles:
            await node.serve(role, host)
        yield node
    finally:
        await node.stop()
