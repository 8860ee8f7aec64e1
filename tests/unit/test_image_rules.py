"""Whom the image role believes when a call names no user."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from novamesh.failures import NotFoundError, PermissionDeniedError
from novamesh.image.v1.image_service_pb2 import (
    CreateImageRequest,
    DeleteImageRequest,
    DownloadImageRequest,
    GetImageRequest,
    ListImagesRequest,
    UpdateImageRequest,
    UploadImageRequest,
    UploadStart,
)
from novamesh.image.v1.image_service_pb2_grpc import ImageServiceStub
from novamesh.types.v1.image_pb2 import IMAGE_VISIBILITY_PRIVATE, Image
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.mesh import calling_as
from tests.image_cloud import ONE, TWO, ImageCloud, image_cloud


@pytest.fixture(params=["memory", "wire"])
async def cloud(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[ImageCloud]:
    async with image_cloud(tmp_path, wire=request.param == "wire") as cloud:
        yield cloud


async def private_image(cloud: ImageCloud) -> Image:
    """An image of project p1 with five bytes of data."""

    async def data(image_id: str) -> AsyncIterator[UploadImageRequest]:
        yield UploadImageRequest(start=UploadStart(image_id=image_id, size=5))
        yield UploadImageRequest(chunk=b"12345")

    record = Image(name="x", disk_format="raw", container_format="bare", visibility=IMAGE_VISIBILITY_PRIVATE)
    with calling_as(ONE):
        made = (await cloud.images.CreateImage(CreateImageRequest(image=record))).image
        return (await cloud.images.UploadImage(data(made.id))).image


async def test_a_gateway_must_name_its_user(cloud: ImageCloud) -> None:
    image = await private_image(cloud)
    with pytest.raises(PermissionDeniedError, match="needs a user"):
        await cloud.images.GetImage(GetImageRequest(image_id=image.id))
    with pytest.raises(PermissionDeniedError, match="needs a user"):
        await cloud.images.ListImages(ListImagesRequest())
    with calling_as(TWO), pytest.raises(NotFoundError):
        await cloud.images.GetImage(GetImageRequest(image_id=image.id))


async def test_a_compute_host_reads_every_image_and_changes_none(cloud: ImageCloud) -> None:
    image = await private_image(cloud)
    node = await cloud.node.peer("compute")
    images = ImageServiceStub(node.channel("image"))
    assert (await images.GetImage(GetImageRequest(image_id=image.id))).image == image
    messages = [m async for m in images.DownloadImage(DownloadImageRequest(image_id=image.id))]
    assert messages[0].image == image
    assert b"".join(m.chunk for m in messages[1:]) == b"12345"
    # Not even for a user: a stolen host could name any.
    for user in (RequestContext(), ONE):
        with calling_as(user):
            for refused in (
                images.DeleteImage(DeleteImageRequest(image_id=image.id)),
                images.UpdateImage(UpdateImageRequest(image_id=image.id, image=image)),
                images.CreateImage(CreateImageRequest(image=Image(name="x"))),
                images.ListImages(ListImagesRequest()),
            ):
                with pytest.raises(PermissionDeniedError, match="role compute may not"):
                    await refused


async def test_the_conductor_acts_by_itself(cloud: ImageCloud) -> None:
    image = await private_image(cloud)
    node = await cloud.node.peer("conductor")
    images = ImageServiceStub(node.channel("image"))
    await images.DeleteImage(DeleteImageRequest(image_id=image.id))
    with calling_as(ONE), pytest.raises(NotFoundError):
        await cloud.images.GetImage(GetImageRequest(image_id=image.id))


async def test_strangers_are_refused(cloud: ImageCloud) -> None:
    node = await cloud.node.peer("metadata")
    with pytest.raises(PermissionDeniedError):
        await ImageServiceStub(node.channel("image")).ListImages(ListImagesRequest())


async def test_a_repeated_request_makes_one_image(cloud: ImageCloud) -> None:
    with calling_as(ONE):
        request = CreateImageRequest(image=Image(name="x"), request_id="again")
        first = await cloud.images.CreateImage(request)
        assert await cloud.images.CreateImage(request) == first
