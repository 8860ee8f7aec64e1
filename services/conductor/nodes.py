"""The list of what runs."""

from db import nodes
from db.database import Database
from db.schema.base import now, timestamp
from novamesh.conductor.v1.node_service_pb2 import (
    DeleteNodeRequest,
    DeleteNodeResponse,
    ListNodesRequest,
    ListNodesResponse,
    Node,
    ReportNodeRequest,
    ReportNodeResponse,
)
from novamesh.failures import PermissionDeniedError
from services.conductor.heartbeats import Heartbeats
from services.mesh import Call


class NodeServicer:
    """Answers novamesh.conductor.v1.NodeService."""

    def __init__(self, database: Database, heartbeats: Heartbeats) -> None:
        self._database = database
        self._heartbeats = heartbeats

    async def ReportNode(self, request: ReportNodeRequest, call: Call) -> ReportNodeResponse:
        """A heartbeat, written with the others of this second."""
        if (request.role, request.host) != (call.peer.role, call.peer.host):
            raise PermissionDeniedError(
                call.method, f"The certificate is for {call.peer.role} on {call.peer.host}."
            )
        self._heartbeats.node(
            Node(
                role=request.role,
                host=request.host,
                address=request.address,
                version=request.version,
                reported_at=timestamp(now()),
            )
        )
        return ReportNodeResponse()

    async def ListNodes(self, request: ListNodesRequest, call: Call) -> ListNodesResponse:
        """All records."""
        await self._heartbeats.flush()
        up_since = self._heartbeats.hearing.up_since(now())
        return ListNodesResponse(nodes=await self._database.read(lambda c: nodes.everyone(c, up_since)))

    async def DeleteNode(self, request: DeleteNodeRequest, call: Call) -> DeleteNodeResponse:
        """Forget one."""
        await self._database.write(lambda c: nodes.remove(c, request.id))
        return DeleteNodeResponse()
