"""The metadata role of the mesh."""

from collections.abc import Sequence

from novamesh.metadata.v1 import metadata_service_pb2
from services.mesh import Binding, Node
from services.metadata.metadata import MetadataServicer
from services.metadata.options import MetadataOptions


class MetadataRole:
    """Serves MetadataService. Keeps nothing but a short memory of records."""

    name = "metadata"

    def __init__(self, node: Node, options: MetadataOptions) -> None:
        self._servicer = MetadataServicer(node, options)

    def bindings(self) -> Sequence[Binding]:
        """Its one service."""
        service = metadata_service_pb2.DESCRIPTOR.services_by_name["MetadataService"]
        return [Binding(service, self._servicer)]

    async def start(self) -> None:
        """Nothing to wait for: records are read when a guest asks."""

    async def stop(self) -> None:
        """Nothing to let go of."""
