"""What a role is to the mesh: contracts bound to the objects that answer them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.descriptor import ServiceDescriptor


@dataclass(frozen=True)
class Binding:
    """A contract and the object that answers it.

    The servicer is a plain class whose methods are named as in the contract and
    take `(request, call)`. One that streams its answer is an async generator;
    one that is streamed to gets an async iterator of requests. A method that is
    missing answers NotSupportedError by its own name.
    """

    service: ServiceDescriptor
    servicer: object


class _Unserved:
    """Answers nothing."""


def unserved(service: ServiceDescriptor) -> Binding:
    """A contract of the role that is still to be served: each of its calls says so by its own name.

    Without a binding gRPC would answer that it knows no such method, as for a misspelt one.
    """
    return Binding(service, _Unserved())


class Role(Protocol):
    """A part of the cloud that a node serves."""

    @property
    def name(self) -> str:
        """The role's name, for example `conductor`."""
        ...

    def bindings(self) -> Sequence[Binding]:
        """The services that the role answers."""
        ...

    async def start(self) -> None:
        """Begin to work; the node can make calls by now.

        Raises a Failure or OSError naming what is missing.
        """
        ...

    async def stop(self) -> None:
        """End all work and free what is held. Called once, after the last call was answered."""
        ...
