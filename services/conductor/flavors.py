"""Records of flavors."""

from db import flavors
from db.database import Connection, Database
from db.schema.base import now
from novamesh.conductor.v1.flavor_service_pb2 import (
    AddFlavorAccessRequest,
    AddFlavorAccessResponse,
    CreateFlavorRequest,
    CreateFlavorResponse,
    DeleteFlavorRequest,
    DeleteFlavorResponse,
    GetFlavorRequest,
    GetFlavorResponse,
    ListFlavorAccessRequest,
    ListFlavorAccessResponse,
    ListFlavorsRequest,
    ListFlavorsResponse,
    RemoveFlavorAccessRequest,
    RemoveFlavorAccessResponse,
    UpdateFlavorRequest,
    UpdateFlavorResponse,
)
from novamesh.failures import InvalidArgumentError
from novamesh.types.v1.flavor_pb2 import Flavor
from services.mesh import Call


def check(flavor: Flavor) -> None:
    """Raises InvalidArgumentError for a size that no instance can have."""
    if not flavor.name.strip():
        raise InvalidArgumentError("name", "A flavor needs a name.")
    for field, least in (
        ("vcpus", 1),
        ("memory_mb", 1),
        ("root_gb", 0),
        ("ephemeral_gb", 0),
        ("swap_mb", 0),
    ):
        if getattr(flavor, field) < least:
            raise InvalidArgumentError(field, f"{field} of a flavor must be at least {least}.")


class FlavorServicer:
    """Answers novamesh.conductor.v1.FlavorService."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreateFlavor(self, request: CreateFlavorRequest, call: Call) -> CreateFlavorResponse:
        """Make one."""
        check(request.flavor)
        at = now()
        return CreateFlavorResponse(
            flavor=await self._database.write(lambda c: flavors.add(c, request.flavor, at))
        )

    async def GetFlavor(self, request: GetFlavorRequest, call: Call) -> GetFlavorResponse:
        """One flavor."""
        return GetFlavorResponse(
            flavor=await self._database.read(lambda c: flavors.get(c, request.id, request.project_id))
        )

    async def ListFlavors(self, request: ListFlavorsRequest, call: Call) -> ListFlavorsResponse:
        """A page."""
        found, more = await self._database.read(lambda c: flavors.page(c, request))
        return ListFlavorsResponse(flavors=found, more=more)

    async def UpdateFlavor(self, request: UpdateFlavorRequest, call: Call) -> UpdateFlavorResponse:
        """Change what may be changed."""
        at = now()
        changed = await self._database.write(
            lambda c: flavors.change(c, request.flavor, request.update_mask, at)
        )
        return UpdateFlavorResponse(flavor=changed)

    async def DeleteFlavor(self, request: DeleteFlavorRequest, call: Call) -> DeleteFlavorResponse:
        """Remove one."""
        await self._database.write(lambda c: flavors.remove(c, request.id))
        return DeleteFlavorResponse()

    async def AddFlavorAccess(self, request: AddFlavorAccessRequest, call: Call) -> AddFlavorAccessResponse:
        """Let a project use one."""
        ids = await self._database.write(lambda c: flavors.permit(c, request.flavor_id, request.project_id))
        return AddFlavorAccessResponse(project_ids=ids)

    async def RemoveFlavorAccess(
        self, request: RemoveFlavorAccessRequest, call: Call
    ) -> RemoveFlavorAccessResponse:
        """Take that back."""
        ids = await self._database.write(lambda c: flavors.forbid(c, request.flavor_id, request.project_id))
        return RemoveFlavorAccessResponse(project_ids=ids)

    async def ListFlavorAccess(
        self, request: ListFlavorAccessRequest, call: Call
    ) -> ListFlavorAccessResponse:
        """Who may use one."""

        def work(connection: Connection) -> list[str]:
            flavors.get(connection, request.flavor_id)
            return flavors.projects(connection, request.flavor_id)

        return ListFlavorAccessResponse(project_ids=await self._database.read(work))
