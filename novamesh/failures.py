"""The failures of the whole product, raised by domain code and by drivers.

Each class has a google.rpc.Code and carries one detail message of
novamesh.errors.v1, so nothing here imports grpc. The mesh turns a failure into
a google.rpc.Status on the way out and back into the same class on the way in;
the gateways alone turn it into HTTP.
"""

from collections.abc import Iterable
from typing import ClassVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2

from novamesh.errors.v1 import errors_pb2 as errors
from novamesh.types.v1.instance_pb2 import TaskState, VmState

DOMAIN = "novamesh"
# Tasks that Nova spells with a hyphen.
_HYPHENATED = ("POWERING_OFF", "POWERING_ON", "SOFT_DELETING")


def vm_state_name(state: VmState.ValueType) -> str:
    """Nova's name of a vm_state, as the Compute API shows it."""
    if state == VmState.VM_STATE_SOFT_DELETED:
        return "soft-delete"
    return VmState.Name(state).removeprefix("VM_STATE_").lower()


def task_state_name(state: TaskState.ValueType) -> str:
    """The same of a task_state."""
    name = TaskState.Name(state).removeprefix("TASK_STATE_")
    return name.replace("_", "-").lower() if name in _HYPHENATED else name.lower()


class Failure(Exception):
    """A failure that a caller can act on: a sentence for people and a typed detail for programs."""

    code: ClassVar[int]
    detail_type: ClassVar[type[Message]]
    # True when the same call may succeed later without anybody changing it.
    transient: ClassVar[bool] = False

    def __init__(self, message: str, detail: Message) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    @classmethod
    def from_detail(cls, message: str, detail: Message) -> "Failure":
        """The failure that another process raised, rebuilt from what came over the wire."""
        failure = cls.__new__(cls)
        Failure.__init__(failure, message, detail)
        return failure


class NotFoundError(Failure):
    """The thing named does not exist, or not for this caller."""

    code = code_pb2.NOT_FOUND
    detail_type = errors.NotFound

    def __init__(self, resource_type: str, resource_id: str, message: str = "") -> None:
        super().__init__(
            message or f"{resource_type.capitalize()} {resource_id} could not be found.",
            errors.NotFound(resource_type=resource_type, resource_id=resource_id),
        )


class AlreadyExistsError(Failure):
    """A name or id is taken."""

    code = code_pb2.ALREADY_EXISTS
    detail_type = errors.AlreadyExists

    def __init__(self, resource_type: str, resource_id: str, message: str = "") -> None:
        super().__init__(
            message or f"{resource_type.capitalize()} {resource_id} already exists.",
            errors.AlreadyExists(resource_type=resource_type, resource_id=resource_id),
        )


class InvalidArgumentError(Failure):
    """A field's value can't be accepted. `field` is its name in the contract."""

    code = code_pb2.INVALID_ARGUMENT
    detail_type = errors.InvalidArgument

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, errors.InvalidArgument(field=field))


class StateConflictError(Failure):
    """The instance's state forbids the request; `detail` says which states allow it."""

    code = code_pb2.FAILED_PRECONDITION
    detail_type = errors.StateConflict

    def __init__(self, message: str, detail: errors.StateConflict) -> None:
        super().__init__(message, detail)

    @property
    def allowed(self) -> tuple[str, ...]:
        """Nova's names of the states that would have allowed it."""
        assert isinstance(self.detail, errors.StateConflict)
        return tuple(vm_state_name(state) for state in self.detail.allowed_vm_states)

    @property
    def task_state(self) -> str:
        """Nova's name of the task under way, or an empty string."""
        assert isinstance(self.detail, errors.StateConflict)
        if not self.detail.task_state:
            return ""
        return task_state_name(self.detail.task_state)


class GenerationConflictError(Failure):
    """The record changed since it was read; read it again."""

    code = code_pb2.ABORTED
    detail_type = errors.GenerationConflict

    def __init__(self, resource_type: str, resource_id: str, expected: int, actual: int) -> None:
        super().__init__(
            f"{resource_type.capitalize()} {resource_id} was changed by somebody else.",
            errors.GenerationConflict(
                resource_type=resource_type, resource_id=resource_id, expected=expected, actual=actual
            ),
        )


class QuotaExceededError(Failure):
    """The request would cross a limit; `detail.shortages` has the numbers."""

    code = code_pb2.RESOURCE_EXHAUSTED
    detail_type = errors.QuotaExceeded

    def __init__(self, shortages: Iterable[errors.QuotaShortage]) -> None:
        detail = errors.QuotaExceeded(shortages=shortages)
        names = ", ".join(s.resource for s in detail.shortages)
        requested = ", ".join(str(s.requested) for s in detail.shortages)
        used = ", ".join(str(s.used) for s in detail.shortages)
        limits = ", ".join(str(s.limit) for s in detail.shortages)
        super().__init__(
            f"Quota exceeded for {names}: Requested {requested}, but already used {used} of {limits} {names}",
            detail,
        )

    @property
    def shortages(self) -> tuple[errors.QuotaShortage, ...]:
        """What is missing, one for each resource."""
        assert isinstance(self.detail, errors.QuotaExceeded)
        return tuple(self.detail.shortages)


class NoValidHostError(Failure):
    """No host may take the instance; `detail.refusals` has what each filter left."""

    code = code_pb2.FAILED_PRECONDITION
    detail_type = errors.NoValidHost

    def __init__(self, refusals: Iterable[errors.FilterRefusal]) -> None:
        detail = errors.NoValidHost(refusals=refusals)
        if detail.refusals:
            steps = ", ".join(f"{r.filter} left {r.after} of {r.before}" for r in detail.refusals)
            why = f" ({steps})"
        else:
            why = " (there are no hosts)"
        super().__init__(f"No valid host was found.{why}", detail)


class PermissionDeniedError(Failure):
    """The caller may not do this."""

    code = code_pb2.PERMISSION_DENIED
    detail_type = errors.PermissionDenied

    def __init__(self, rule: str, message: str = "") -> None:
        super().__init__(
            message or f"Policy doesn't allow {rule} to be performed.", errors.PermissionDenied(rule=rule)
        )


class UnauthenticatedError(Failure):
    """Nobody could be recognised: no credentials, wrong ones, or ones that have ended."""

    code = code_pb2.UNAUTHENTICATED
    detail_type = errors.PermissionDenied

    def __init__(self, message: str = "The request you have made requires authentication.") -> None:
        super().__init__(message, errors.PermissionDenied())


class UnavailableError(Failure):
    """A part that the work needs does not answer now. `retry_after` is in seconds."""

    code = code_pb2.UNAVAILABLE
    detail_type = errors.Unavailable
    transient = True

    def __init__(self, part: str, message: str, retry_after: float | None = None) -> None:
        detail = errors.Unavailable(part=part)
        if retry_after is not None:
            pause = Duration()
            pause.FromMilliseconds(int(retry_after * 1000))
            detail.retry_after.CopyFrom(pause)
        super().__init__(message, detail)


class ResourceExhaustedError(Failure):
    """Something finite ran out: addresses, disk, places in a queue."""

    code = code_pb2.RESOURCE_EXHAUSTED
    detail_type = errors.ResourceExhausted

    def __init__(self, resource: str, message: str) -> None:
        super().__init__(message, errors.ResourceExhausted(resource=resource))


class ImageUnacceptableError(Failure):
    """The image can't be used for this instance. `problem` is one word: checksum, size, format, status."""

    code = code_pb2.FAILED_PRECONDITION
    detail_type = errors.ImageUnacceptable

    def __init__(self, image_id: str, problem: str, message: str) -> None:
        super().__init__(message, errors.ImageUnacceptable(image_id=image_id, problem=problem))


class NotSupportedError(Failure):
    """This cloud, host or driver lacks the ability."""

    code = code_pb2.UNIMPLEMENTED
    detail_type = errors.NotSupported

    def __init__(self, capability: str, message: str) -> None:
        super().__init__(message, errors.NotSupported(capability=capability))


class DriverFailureError(Failure):
    """The hypervisor or the network refused, and trying again may help."""

    code = code_pb2.INTERNAL
    detail_type = errors.DriverFailure
    transient = True

    def __init__(self, driver: str, action: str, message: str) -> None:
        super().__init__(message, errors.DriverFailure(driver=driver, action=action))


class DeadlineExceededError(UnavailableError):
    """No answer came in the time that the caller had; whether the work was done is not known."""

    code = code_pb2.DEADLINE_EXCEEDED


class InternalError(Failure):
    """A mistake inside the answering role, told without its inner text; that role's log has the rest."""

    code = code_pb2.INTERNAL
    detail_type = errors.Internal

    def __init__(self, method: str, request_id: str = "", message: str = "") -> None:
        super().__init__(
            message or f"{method} failed unexpectedly.", errors.Internal(method=method, request_id=request_id)
        )


# By class name, which is the ErrorInfo reason on the wire.
FAILURES: dict[str, type[Failure]] = {
    cls.__name__: cls
    for cls in (
        NotFoundError,
        AlreadyExistsError,
        InvalidArgumentError,
        StateConflictError,
        GenerationConflictError,
        QuotaExceededError,
        NoValidHostError,
        PermissionDeniedError,
        UnauthenticatedError,
        UnavailableError,
        ResourceExhaustedError,
        ImageUnacceptableError,
        NotSupportedError,
        DriverFailureError,
        DeadlineExceededError,
        InternalError,
    )
}
