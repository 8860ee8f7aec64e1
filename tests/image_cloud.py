"""An image service for tests: real servicers, a real database and folder, and the Image API in front.

Tokens are words: `admin`, `one` (member of project p1), `two` (member of p2),
`reader` (reader of p1), `nothing` (a user of p1 without a role).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from db.connect import connect
from db.database import Database
from drivers.image import ImageDriver
from drivers.image.local.driver import LocalImageDriver
from drivers.image.local.options import LocalImageOptions
from gateway.image import ImageApiOptions, build_image_app
from novamesh.conductor.v1 import image_member_service_pb2, image_service_pb2
from novamesh.conductor.v1.image_member_service_pb2_grpc import ImageMemberServiceStub
from novamesh.conductor.v1.image_service_pb2_grpc import ImageServiceStub as ImageRecordStub
from novamesh.failures import UnauthenticatedError
from novamesh.image.v1.image_service_pb2_grpc import ImageServiceStub
from novamesh.image.v1.member_service_pb2_grpc import MemberServiceStub
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.conductor.image_members import ImageMemberServicer
from services.conductor.images import ImageServicer
from services.image.options import ImageOptions
from services.image.role import ImageRole
from services.mesh import Binding
from services.mesh.testing import LocalNode, ServiceRole, local_node
from tests.schema import make_schema

if TYPE_CHECKING:
    from novamesh.image.v1.image_service_pb2_grpc import ImageServiceAsyncStub
    from novamesh.image.v1.member_service_pb2_grpc import MemberServiceAsyncStub

ADMIN = RequestContext(user_id="u0", project_id="p0", roles=["admin", "member", "reader"], is_admin=True)
ONE = RequestContext(user_id="u1", project_id="p1", roles=["member", "reader"])
TWO = RequestContext(user_id="u2", project_id="p2", roles=["member", "reader"])
READER = RequestContext(user_id="u3", project_id="p1", roles=["reader"])
NOTHING = RequestContext(user_id="u4", project_id="p1")
TOKENS = {"admin": ADMIN, "one": ONE, "two": TWO, "reader": READER, "nothing": NOTHING}


class WordTokens:
    """Recognises the tokens above."""

    async def authenticate(self, token: str) -> RequestContext:
        """The user of a token. Raises UnauthenticatedError."""
        try:
            return TOKENS[token]
        except KeyError:
            raise UnauthenticatedError from None


@dataclass
class ImageCloud:
    """A running image service. `node` is a gateway's."""

    node: LocalNode
    folder: Path
    database: Database
    driver: LocalImageDriver
    images: "ImageServiceAsyncStub"
    members: "MemberServiceAsyncStub"

    def app(self) -> Application:
        """The Image API."""
        return build_image_app(self.node, WordTokens(), ImageApiOptions())


@asynccontextmanager
async def image_cloud(
    folder: Path, options: ImageOptions | None = None, *, wire: bool = False
) -> AsyncIterator[ImageCloud]:
    """An image service with the local driver, its data and database below `folder`."""
    url = f"sqlite:///{folder / 'images.sqlite'}"
    make_schema(url)
    database = connect(url)
    records = ServiceRole("conductor", record_bindings(database))
    async with local_node(records, wire=wire) as node:
        image_node = await node.peer("image")
        driver = LocalImageDriver(
            LocalImageOptions(folder / "images"),
            ImageRecordStub(image_node.channel("conductor")),
            ImageMemberServiceStub(image_node.channel("conductor")),
        )
        await image_node.add(ImageRole(image_node, options or ImageOptions(), driver))
        channel = node.channel("image")
        yield ImageCloud(
            node, folder / "images", database, driver, ImageServiceStub(channel), MemberServiceStub(channel)
        )
    await database.close()


def record_bindings(database: Database) -> list[Binding]:
    """The conductor's part of the image service."""
    images = image_service_pb2.DESCRIPTOR.services_by_name["ImageService"]
    members = image_member_service_pb2.DESCRIPTOR.services_by_name["ImageMemberService"]
    return [Binding(images, ImageServicer(database)), Binding(members, ImageMemberServicer(database))]


@asynccontextmanager
async def driver_cloud(driver: ImageDriver, options: ImageOptions | None = None) -> AsyncIterator[LocalNode]:
    """The image role on another driver; the node given is a gateway's."""
    async with local_node() as node:
        image_node = await node.peer("image")
        await image_node.add(ImageRole(image_node, options or ImageOptions(), driver))
        yield node


class ImageClient:
    """The Image API over HTTP, as the user of a token."""

    def __init__(self, client: TestClient[Request, Application]) -> None:
        self.http = client

    async def call(self, token: str, method: str, path: str, **request: object) -> "Answered":
        """One request; `json`, `data`, `headers` as in aiohttp."""
        headers = {"X-Auth-Token": token, **request.pop("headers", {})}  # type: ignore[dict-item]
        async with self.http.request(method, path, headers=headers, **request) as response:  # type: ignore[arg-type]
            return Answered(response.status, await response.read(), dict(response.headers))


@dataclass
class Answered:
    """An answer that has been read."""

    status: int
    body: bytes
    headers: dict[str, str]


@asynccontextmanager
async def image_client(cloud: ImageCloud) -> AsyncIterator[ImageClient]:
    """The Image API of this service."""
    async with TestClient(TestServer(cloud.app())) as client:
        yield ImageClient(client)
