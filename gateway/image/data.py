"""Image data: uploads and downloads, streamed, a few MiB in memory whatever the size."""

import re
from collections.abc import AsyncIterator

from aiohttp import web

from gateway.faults import HttpError
from gateway.image.edge import Edge
from novamesh.errors.v1.errors_pb2 import ImageUnacceptable
from novamesh.failures import Failure, ImageUnacceptableError, InvalidArgumentError
from novamesh.image.v1.image_service_pb2 import DownloadImageRequest, UploadImageRequest, UploadStart
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_QUEUED, IMAGE_STATUS_SAVING, Image
from novamesh.types.v1.request_context_pb2 import RequestContext

_CHUNK_BYTES = 1 << 20
_OCTETS = "application/octet-stream"
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class DataResource:
    """/v2/images/{id}/file."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._timeout = edge.options.transfer_timeout

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        guarded = self._edge.guarded
        return [
            web.put("/v2/images/{image_id}/file", guarded(self.upload)),
            web.get("/v2/images/{image_id}/file", guarded(self.download), allow_head=False),
        ]

    async def upload(self, request: web.Request, context: RequestContext) -> web.Response:
        """PUT /v2/images/{id}/file."""
        if request.content_type != _OCTETS:
            raise HttpError(415, f"Image data is uploaded with Content-Type {_OCTETS}.")
        image = await self._edge.image(context, request.match_info["image_id"], "upload_image")
        if not (image.disk_format and image.container_format):
            raise HttpError(400, "Properties disk_format, container_format must be set prior to saving data.")
        start = UploadStart(image_id=image.id)
        announced = request.headers.get("X-OpenStack-Image-Size")
        if announced is not None:
            if not (announced.isascii() and announced.isdecimal()) or len(announced) > 18:
                raise HttpError(400, "X-OpenStack-Image-Size must be a number of bytes.")
            start.size = int(announced)
        if request.content_length is not None:
            if start.HasField("size") and start.size != request.content_length:
                raise HttpError(400, "X-OpenStack-Image-Size and Content-Length differ.")
            start.size = request.content_length
        try:
            await self._edge.images.UploadImage(_messages(start, request), timeout=self._timeout)
        except InvalidArgumentError as failure:
            # The data isn't of the format that the record names.
            raise HttpError(415, failure.message) from failure
        except ImageUnacceptableError as failure:
            raise HttpError(409 if _problem(failure) == "status" else 400, failure.message) from failure
        return web.Response(status=204)

    async def download(self, request: web.Request, context: RequestContext) -> web.StreamResponse:
        """GET /v2/images/{id}/file, whole or one range of it."""
        image = await self._edge.image(context, request.match_info["image_id"], "download_image")
        if image.status in (IMAGE_STATUS_QUEUED, IMAGE_STATUS_SAVING):
            return web.Response(status=204)
        asked = DownloadImageRequest(image_id=image.id)
        response = web.StreamResponse(headers={"Content-Type": _OCTETS})
        wanted = _range(request.headers.get("Range"), image)
        length = image.size
        if wanted is not None:
            asked.offset, asked.length = wanted
            length = wanted[1]
            response.set_status(206)
            last = asked.offset + asked.length - 1
            response.headers["Content-Range"] = f"bytes {asked.offset}-{last}/{image.size}"
        elif image.checksum:
            response.headers["Content-MD5"] = image.checksum
        response.content_length = length
        stream = self._edge.images.DownloadImage(asked, timeout=self._timeout)
        try:
            response.headers["X-Openstack-Request-Id"] = context.request_id
            async for message in stream:
                # Nothing is promised to the client before the first bytes are there.
                if message.WhichOneof("payload") == "chunk":
                    if not response.prepared:
                        await response.prepare(request)
                    await response.write(message.chunk)
            if not response.prepared:
                await response.prepare(request)
            await response.write_eof()
        except Failure as failure:
            if not response.prepared:
                if _problem(failure) == "data":
                    raise HttpError(404, failure.message) from failure
                raise
            # Too late for a status: a connection that breaks before its length tells the client.
            if request.transport is not None:
                request.transport.abort()
        finally:
            stream.cancel()
        return response


def _problem(failure: Failure) -> str:
    """The one word of an ImageUnacceptableError; empty for other failures."""
    return failure.detail.problem if isinstance(failure.detail, ImageUnacceptable) else ""


async def _messages(start: UploadStart, request: web.Request) -> AsyncIterator[UploadImageRequest]:
    """An upload as the role takes it: the network's pieces joined to chunks worth a message."""
    yield UploadImageRequest(start=start)
    pieces: list[bytes] = []
    size = 0
    async for piece in request.content.iter_any():
        while size + len(piece) >= _CHUNK_BYTES:
            cut = _CHUNK_BYTES - size
            pieces.append(piece[:cut])
            yield UploadImageRequest(chunk=b"".join(pieces))
            piece, pieces, size = piece[cut:], [], 0
        if piece:
            pieces.append(piece)
            size += len(piece)
    if pieces:
        yield UploadImageRequest(chunk=b"".join(pieces))


def _range(header: str | None, image: Image) -> tuple[int, int] | None:
    """Offset and length of a Range header; None for none. HttpError 400 for several, 416 outside."""
    if header is None:
        return None
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        raise HttpError(400, f"Range {header!r} is not one range of bytes.")
    first, last = match.groups()
    if first == "":
        # The last so many bytes.
        offset, end = max(image.size - int(last), 0), image.size
    else:
        offset = int(first)
        end = min(int(last) + 1, image.size) if last else image.size
    if offset >= end:
        raise HttpError(
            416,
            f"Range {header!r} is outside the image's {image.size} bytes.",
            headers={"Content-Range": f"bytes */{image.size}"},
        )
    return offset, end - offset
