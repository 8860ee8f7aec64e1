"""Limits of projects, users and classes, and what is used."""

from collections.abc import Mapping

from db import addresses, keypairs, quotas, server_groups
from db.database import Connection, Database
from novamesh.conductor.v1.quota_service_pb2 import (
    DeleteQuotasRequest,
    DeleteQuotasResponse,
    GetDefaultQuotasRequest,
    GetDefaultQuotasResponse,
    GetQuotaClassRequest,
    GetQuotaClassResponse,
    GetQuotasRequest,
    GetQuotasResponse,
    Quota,
    UpdateQuotaClassRequest,
    UpdateQuotaClassResponse,
    UpdateQuotasRequest,
    UpdateQuotasResponse,
)
from novamesh.failures import InvalidArgumentError
from services.mesh import Call


class QuotaServicer:
    """Answers novamesh.conductor.v1.QuotaService."""

    def __init__(self, database: Database, quota: Mapping[str, int]) -> None:
        self._database = database
        self._quota = quota

    async def GetQuotas(self, request: GetQuotasRequest, call: Call) -> GetQuotasResponse:
        """Limits, and use when asked."""

        def work(connection: Connection) -> list[Quota]:
            used = _used(connection, request.project_id, request.user_id) if request.with_usage else {}
            return self._limits(connection, request.project_id, request.user_id, used)

        return GetQuotasResponse(quotas=await self._database.read(work))

    async def GetDefaultQuotas(
        self, request: GetDefaultQuotasRequest, call: Call
    ) -> GetDefaultQuotasResponse:
        """The limits that hold where nothing else is set."""
        return GetDefaultQuotasResponse(quotas=await self._class(quotas.DEFAULT_CLASS))

    async def UpdateQuotas(self, request: UpdateQuotasRequest, call: Call) -> UpdateQuotasResponse:
        """Set limits."""
        self._check(request.limits)
        project_id, user_id = request.project_id, request.user_id

        def work(connection: Connection) -> list[Quota]:
            # Nobody begins to use more while this looks at what is used.
            quotas.lock_usage(connection, project_id, user_id)
            used = _used(connection, project_id, user_id)
            if not request.force:
                bounds = self._bounds(connection, project_id, user_id, used)
                for resource, limit in request.limits.items():
                    _check_bounds(resource, limit, *bounds[resource])
            quotas.set_limits(connection, project_id, user_id, dict(request.limits))
            return self._limits(connection, project_id, user_id, used)

        return UpdateQuotasResponse(quotas=await self._database.write(work))

    async def DeleteQuotas(self, request: DeleteQuotasRequest, call: Call) -> DeleteQuotasResponse:
        """Back to the defaults."""
        await self._database.write(lambda c: quotas.remove_limits(c, request.project_id, request.user_id))
        return DeleteQuotasResponse()

    async def GetQuotaClass(self, request: GetQuotaClassRequest, call: Call) -> GetQuotaClassResponse:
        """The limits of a class."""
        return GetQuotaClassResponse(quotas=await self._class(request.name))

    async def UpdateQuotaClass(
        self, request: UpdateQuotaClassRequest, call: Call
    ) -> UpdateQuotaClassResponse:
        """Set limits of a class."""
        self._check(request.limits)
        limits = dict(request.limits)
        await self._database.write(lambda c: quotas.set_limits_of_class(c, request.name, limits))
        return UpdateQuotaClassResponse(quotas=await self._class(request.name))

    async def _class(self, name: str) -> list[Quota]:
        held = await self._database.read(lambda c: quotas.limits_of_class(c, name))
        return [Quota(resource=resource, limit=limit) for resource, limit in {**self._quota, **held}.items()]

    def _check(self, limits: Mapping[str, int]) -> None:
        for resource, limit in limits.items():
            if resource not in self._quota:
                raise InvalidArgumentError("limits", f"There is no quota for {resource}.")
            if limit < -1:
                raise InvalidArgumentError(
                    "limits", f"Quota limit {limit} for {resource} must be -1 or greater."
                )

    def _bounds(
        self, connection: Connection, project_id: str, user_id: str, used: Mapping[str, int]
    ) -> dict[str, tuple[int, int]]:
        """The lowest and the highest limit that may be set for each resource; -1 for no bound.

        Not below what is used. A project's not below what it has given to its users; a user's not above
        what the project has left.
        """
        of_project, of_user = quotas.limits(connection, project_id, user_id)
        given = quotas.given_to_users(connection, project_id)
        bounds = {}
        for resource, default in self._quota.items():
            least, most = used.get(resource, 0), -1
            if not user_id:
                least = max(least, given.get(resource, 0))
            else:
                whole = of_project.get(resource, default)
                # Those given to the other users.
                others = given.get(resource, 0) - of_user.get(resource, 0)
                if whole >= 0 and given.get(resource, 0) >= 0:
                    most = max(0, whole - others)
            bounds[resource] = (least, most)
        return bounds

    def _limits(
        self, connection: Connection, project_id: str, user_id: str, used: Mapping[str, int]
    ) -> list[Quota]:
        of_project, of_user = quotas.limits(connection, project_id, user_id)
        limits = {**self._quota, **of_project}
        if user_id:
            limits |= of_user
        return [Quota(resource=name, limit=limit, in_use=used.get(name, 0)) for name, limit in limits.items()]


def _check_bounds(resource: str, limit: int, least: int, most: int) -> None:
    if 0 <= limit < least:
        raise InvalidArgumentError(
            "limits",
            f"Quota limit {limit} for {resource} must be greater than or equal to already used and reserved "
            f"{least}.",
        )
    if most >= 0 and (limit < 0 or limit > most):
        raise InvalidArgumentError(
            "limits", f"Quota limit {limit} for {resource} must be less than or equal to {most}."
        )


def _used(connection: Connection, project_id: str, user_id: str) -> dict[str, int]:
    usage = quotas.usage(connection, project_id, user_id)
    used = {
        "instances": usage.instances,
        "cores": usage.cores,
        "ram": usage.ram,
        "server_groups": server_groups.count(connection, project_id, user_id),
    }
    if user_id:
        used["key_pairs"] = keypairs.count(connection, user_id)
    else:
        used["fixed_ips"] = addresses.count(connection, project_id)
    return used
