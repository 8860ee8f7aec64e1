"""What users are told of a failure: the reason, and never which host, address or file it was about."""

from typing import TypeVar

from novamesh.errors.v1 import errors_pb2 as errors
from novamesh.failures import (
    DriverFailureError,
    Failure,
    ResourceExhaustedError,
    UnavailableError,
)

T = TypeVar("T")

# What a driver says of these is about files and devices of its host.
_HOST_RESOURCES = {"disk": "The host has no room left on its disks."}


def for_users(failure: Failure) -> str:
    """The sentence of a failure as it may stand in a fault."""
    if isinstance(failure, UnavailableError):
        # `compute at 10.0.0.7:9004` and `compute/host1` are both compute.
        part = _detail(failure, errors.Unavailable).part.partition(" ")[0].partition("/")[0]
        return f"A part of the cloud did not answer ({part or 'unknown'})."
    if isinstance(failure, DriverFailureError):
        said = _detail(failure, errors.DriverFailure)
        who = "The host's network" if said.driver == "network" else "The hypervisor"
        return f"{who} failed ({said.action})." if said.action else f"{who} failed."
    if isinstance(failure, ResourceExhaustedError):
        return _HOST_RESOURCES.get(_detail(failure, errors.ResourceExhausted).resource, failure.message)
    return failure.message


def _detail(failure: Failure, kind: type[T]) -> T:
    """The typed detail; an empty one where another process sent none."""
    return failure.detail if isinstance(failure.detail, kind) else kind()
