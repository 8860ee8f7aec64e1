"""Locks of instances: who may take which away, and what the ledger keeps of it. Units of database work."""

import uuid
from datetime import datetime

from db import instances, interfaces, operations, server_groups
from db.database import Connection
from novamesh.conductor.v1.instance_service_pb2 import LockInstanceRequest, UnlockInstanceRequest
from novamesh.failures import NotFoundError, PermissionDeniedError
from novamesh.types.v1.instance_pb2 import Instance, LockOwner
from novamesh.types.v1.operation_pb2 import Operation, OperationKind
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.conductor import edits

# Nova's rule, which the gateway has asked: it knows policies.
OVERRIDE = "os_compute_api:os-lock-server:unlock:unlock_override"


def lock(
    connection: Connection, request: LockInstanceRequest, context: RequestContext, at: datetime
) -> Instance:
    """Lock, as the instance's own project or as an administrator.

    Raises NotFoundError.
    """
    instance = _present(connection, request.id, request.project_id)
    locker = _locker(instance, context)
    if instance.locked and locker == LockOwner.LOCK_OWNER_OWNER:
        return _shown(connection, instance)
    instance.locked = True
    instance.locked_by = locker
    if request.reason:
        instance.locked_reason = request.reason
    instances.save(connection, instance, at)
    _record(connection, instance, OperationKind.OPERATION_KIND_LOCK, (request.request_id, context), at)
    return _shown(connection, instance)


def unlock(
    connection: Connection, request: UnlockInstanceRequest, context: RequestContext, at: datetime
) -> Instance:
    """Unlock what the caller's kind has locked, or anything with an override.

    Raises NotFoundError, PermissionDeniedError.
    """
    instance = _present(connection, request.id, request.project_id)
    strange = instance.locked_by not in (LockOwner.LOCK_OWNER_UNSPECIFIED, _locker(instance, context))
    if strange and not request.override:
        raise PermissionDeniedError(OVERRIDE)
    instance.locked = False
    instance.locked_by = LockOwner.LOCK_OWNER_UNSPECIFIED
    instance.locked_reason = ""
    instances.save(connection, instance, at)
    _record(connection, instance, OperationKind.OPERATION_KIND_UNLOCK, (request.request_id, context), at)
    return _shown(connection, instance)


def _present(connection: Connection, instance_id: str, project_id: str) -> Instance:
    instance = edits.lock_present(connection, instance_id)
    if project_id not in ("", instance.project_id):
        raise NotFoundError("instance", instance_id)
    return instance


def _locker(instance: Instance, context: RequestContext) -> LockOwner.ValueType:
    if instance.project_id == context.project_id:
        return LockOwner.LOCK_OWNER_OWNER
    return LockOwner.LOCK_OWNER_ADMIN


def _shown(connection: Connection, instance: Instance) -> Instance:
    return server_groups.attach(connection, interfaces.attach(connection, instance))


def _record(
    connection: Connection,
    instance: Instance,
    kind: OperationKind.ValueType,
    asked: tuple[str, RequestContext],
    at: datetime,
) -> None:
    """Write down what is done already."""
    request_id, context = asked
    operation = Operation(
        id=str(uuid.uuid4()),
        kind=kind,
        instance_id=instance.id,
        project_id=instance.project_id,
        user_id=context.user_id or instance.user_id,
        request_id=request_id or context.request_id or str(uuid.uuid4()),
        host=instance.host,
    )
    operations.record(connection, operation, at)
