"""What a caller may see and touch by virtue of its certificate."""

from novamesh.failures import NotFoundError, PermissionDeniedError
from novamesh.types.v1.instance_pb2 import Instance
from services.mesh import Call

# Roles that run beside guests: each may touch only what lives on its host.
HOST_ROLES = frozenset({"compute", "network"})


def bound_host(call: Call) -> str:
    """The host that the caller is confined to; empty when it isn't."""
    return call.peer.host if call.peer.role in HOST_ROLES else ""


def check_instance(call: Call, instance: Instance) -> None:
    """An instance on another host does not exist for a caller that is confined to one.

    Raises NotFoundError.
    """
    host = bound_host(call)
    if host and instance.host != host:
        raise NotFoundError("instance", instance.id)


def check_host(call: Call, name: str) -> None:
    """A host's own roles speak for that host alone.

    Raises PermissionDeniedError.
    """
    host = bound_host(call)
    if host and host != name:
        raise PermissionDeniedError(call.method, f"The certificate is for host {host}, not {name}.")
