"""Records of domains."""

from db import domains
from db.database import Database
from novamesh.conductor.v1.domain_service_pb2 import (
    CreateDomainRequest,
    CreateDomainResponse,
    DeleteDomainRequest,
    DeleteDomainResponse,
    GetDomainRequest,
    GetDomainResponse,
    ListDomainsRequest,
    ListDomainsResponse,
    UpdateDomainRequest,
    UpdateDomainResponse,
)
from services.conductor.revocations import RevocationFeed
from services.mesh import Call


class DomainServicer:
    """Answers novamesh.conductor.v1.DomainService."""

    def __init__(self, database: Database, feed: RevocationFeed) -> None:
        self._database = database
        self._feed = feed

    async def CreateDomain(self, request: CreateDomainRequest, call: Call) -> CreateDomainResponse:
        """Write a new record."""
        made = await self._database.write(lambda c: domains.create(c, request.domain, request.request_id))
        return CreateDomainResponse(domain=made)

    async def GetDomain(self, request: GetDomainRequest, call: Call) -> GetDomainResponse:
        """One record."""
        return GetDomainResponse(domain=await self._database.read(lambda c: domains.get(c, request.id)))

    async def ListDomains(self, request: ListDomainsRequest, call: Call) -> ListDomainsResponse:
        """A page of records."""
        found, more = await self._database.read(
            lambda c: domains.find(c, request.name, request.ids, request.page_size, request.marker)
        )
        return ListDomainsResponse(domains=found, more=more)

    async def UpdateDomain(self, request: UpdateDomainRequest, call: Call) -> UpdateDomainResponse:
        """Write fields of a record."""
        changed = await self._database.write(lambda c: domains.change(c, request.domain, request.update_mask))
        self._feed.wake()
        return UpdateDomainResponse(domain=changed)

    async def DeleteDomain(self, request: DeleteDomainRequest, call: Call) -> DeleteDomainResponse:
        """Drop a record."""
        await self._database.write(lambda c: domains.remove(c, request.id))
        self._feed.wake()
        return DeleteDomainResponse()
