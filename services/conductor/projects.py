"""Records of projects."""

from db import projects
from db.database import Database
from novamesh.conductor.v1.project_service_pb2 import (
    CreateProjectRequest,
    CreateProjectResponse,
    DeleteProjectRequest,
    DeleteProjectResponse,
    GetProjectRequest,
    GetProjectResponse,
    ListProjectsRequest,
    ListProjectsResponse,
    UpdateProjectRequest,
    UpdateProjectResponse,
)
from services.conductor.revocations import RevocationFeed
from services.mesh import Call


class ProjectServicer:
    """Answers novamesh.conductor.v1.ProjectService."""

    def __init__(self, database: Database, feed: RevocationFeed) -> None:
        self._database = database
        self._feed = feed

    async def CreateProject(self, request: CreateProjectRequest, call: Call) -> CreateProjectResponse:
        """Write a new record."""
        made = await self._database.write(lambda c: projects.create(c, request.project, request.request_id))
        return CreateProjectResponse(project=made)

    async def GetProject(self, request: GetProjectRequest, call: Call) -> GetProjectResponse:
        """One record."""
        return GetProjectResponse(project=await self._database.read(lambda c: projects.get(c, request.id)))

    async def ListProjects(self, request: ListProjectsRequest, call: Call) -> ListProjectsResponse:
        """A page of records."""
        found, more = await self._database.read(lambda c: projects.find(c, request))
        return ListProjectsResponse(projects=found, more=more)

    async def UpdateProject(self, request: UpdateProjectRequest, call: Call) -> UpdateProjectResponse:
        """Write fields of a record."""
        changed = await self._database.write(
            lambda c: projects.change(c, request.project, request.update_mask)
        )
        self._feed.wake()
        return UpdateProjectResponse(project=changed)

    async def DeleteProject(self, request: DeleteProjectRequest, call: Call) -> DeleteProjectResponse:
        """Drop a record."""
        await self._database.write(lambda c: projects.remove(c, request.id))
        self._feed.wake()
        return DeleteProjectResponse()
