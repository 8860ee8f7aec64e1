"""The Glance driver: images in an OpenStack Image service, by its v2 API.

It acts with the rights of one service user (an administrator there), as every
driver acts with all rights. Glance checks formats, computes digests and keeps
quotas itself. What Glance hasn't got is done here: a list as one project sees
it, and a checksum checked before the data is complete.
"""

import hashlib
from collections.abc import AsyncIterator
from urllib.parse import quote

from drivers.image import CHUNK_BYTES, Change, Listing, MemberDriver, Page, Upload
from drivers.image.glance.http import GlanceHttp, Request
from drivers.image.glance.members import GlanceMembers
from drivers.image.glance.options import GlanceOptions
from drivers.image.glance.records import body_of, image_from, parameters_of, patch_of
from novamesh.failures import (
    AlreadyExistsError,
    Failure,
    ImageUnacceptableError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
)
from novamesh.types.v1.image_member_pb2 import IMAGE_MEMBER_STATUS_ACCEPTED
from novamesh.types.v1.image_pb2 import (
    IMAGE_STATUS_QUEUED,
    IMAGE_VISIBILITY_COMMUNITY,
    IMAGE_VISIBILITY_PUBLIC,
    IMAGE_VISIBILITY_SHARED,
    Image,
    ImageStatus,
)

_IMAGES = "/v2/images"
_PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
_OCTETS = {"Content-Type": "application/octet-stream"}
# Images asked for at once when a list has to be narrowed here.
_PAGE = 200


class GlanceImageDriver:
    """Implements ImageDriver."""

    name = "glance"

    def __init__(self, options: GlanceOptions) -> None:
        self._http = GlanceHttp(options)
        self.members: MemberDriver = GlanceMembers(self._http)

    async def start(self) -> None:
        """Reach Glance and log in. Raises UnavailableError that names which of the two failed."""
        await self._http.start()

    async def stop(self) -> None:
        """Close the connections."""
        await self._http.stop()

    async def create(self, image: Image, request_id: str) -> Image:
        """As in ImageDriver. The same request comes with the same id, which is how Glance can tell."""
        try:
            return image_from(await self._http.json(Request("POST", _IMAGES, image.id, body=body_of(image))))
        except ImageUnacceptableError as failure:
            if request_id:
                return await self.get(image.id)
            raise AlreadyExistsError("image", image.id) from failure

    async def get(self, image_id: str) -> Image:
        """As in ImageDriver."""
        return image_from(await self._http.json(Request("GET", _path(image_id), image_id)))

    async def list_images(self, listing: Listing) -> Page:
        """As in ImageDriver."""
        found: list[Image] = []
        async for image in self._each(listing):
            if listing.page_size and len(found) == listing.page_size:
                return Page(found, found[-1].id)
            found.append(image)
        return Page(found)

    async def update(self, change: Change) -> Image:
        """As in ImageDriver; properties are compared with what is there."""
        current = await self.get(change.image_id)
        steps = patch_of(current, change.image, change.paths)
        if not steps:
            return current
        request = Request("PATCH", _path(change.image_id), change.image_id, headers=_PATCH, body=steps)
        return image_from(await self._http.json(request))

    async def delete(self, image_id: str) -> None:
        """As in ImageDriver."""
        await self._http.json(Request("DELETE", _path(image_id), image_id))

    async def set_active(self, image_id: str, active: bool) -> Image:
        """As in ImageDriver."""
        action = "reactivate" if active else "deactivate"
        try:
            await self._http.json(Request("POST", f"{_path(image_id)}/actions/{action}", image_id))
        except PermissionDeniedError as failure:
            # Nothing is forbidden to an administrator but steps that the state forbids.
            raise ImageUnacceptableError(image_id, "status", failure.message) from failure
        return await self.get(image_id)

    async def upload(self, upload: Upload, data: AsyncIterator[bytes]) -> Image:
        """As in ImageDriver."""
        image_id = upload.image.id
        # Glance refuses at once, while data is still being sent: whoever sends may hear of a broken
        # connection before the answer. So it is asked first.
        status = (await self.get(image_id)).status
        if status != IMAGE_STATUS_QUEUED:
            word = ImageStatus.Name(status).removeprefix("IMAGE_STATUS_").lower()
            raise ImageUnacceptableError(image_id, "status", f"Image {image_id} is {word}, not queued.")
        headers = dict(_OCTETS)
        if upload.size is not None:
            headers["Content-Length"] = str(upload.size)
            headers["X-OpenStack-Image-Size"] = str(upload.size)
        checked = _Checked(upload, data)
        request = Request("PUT", f"{_path(image_id)}/file", image_id, headers=headers, body=aiter(checked))
        try:
            await self._http.json(request)
        except Failure:
            if checked.failure is not None:
                # Glance only saw a connection that broke; why, is known here.
                raise checked.failure from None
            raise
        return await self.get(image_id)

    async def download(self, image: Image, offset: int, length: int) -> AsyncIterator[bytes]:
        """As in ImageDriver."""
        headers = {}
        if offset or length < image.size:
            headers["Range"] = f"bytes={offset}-{offset + length - 1}"
        request = Request("GET", f"{_path(image.id)}/file", image.id, headers=headers)
        async with self._http.open(request) as response:
            if response.status == 204:
                raise ImageUnacceptableError(image.id, "data", f"Glance has no data of image {image.id}.")
            if headers and response.status != 206:
                raise UnavailableError("glance", "Glance does not serve ranges of images.")
            left = length
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                left -= len(chunk)
                yield chunk
        if left:
            raise ImageUnacceptableError(image.id, "data", f"The data of image {image.id} ends early.")

    async def _each(self, listing: Listing) -> AsyncIterator[Image]:
        """Everything from the page token on that the viewer's list shows, page by page of Glance's."""
        parameters = parameters_of(listing.query)
        # Glance would leave out community images but those of the service's own project.
        parameters.setdefault("visibility", "all")
        parameters["limit"] = str(min(listing.page_size + 1, _PAGE) if listing.page_size else _PAGE)
        if listing.page_token:
            parameters["marker"] = listing.page_token
        path: str = _IMAGES
        tags = "&".join(f"tag={quote(tag, safe='')}" for tag in listing.query.tags)
        if tags:
            path += f"?{tags}"
        while True:
            answer = await self._http.json(Request("GET", path, parameters=parameters))
            for view in answer["images"]:
                image = image_from(view)
                if await self._shows(listing, image):
                    yield image
            if not answer.get("next"):
                return
            parameters["marker"] = answer["images"][-1]["id"]

    async def _shows(self, listing: Listing, image: Image) -> bool:
        viewer, query = listing.viewer_project_id, listing.query
        own = bool(viewer) and image.owner == viewer
        if image.visibility == IMAGE_VISIBILITY_COMMUNITY and not own:
            return bool(query.visibility or query.all_visibilities)
        if own or listing.all_projects or image.visibility == IMAGE_VISIBILITY_PUBLIC:
            return True
        if image.visibility != IMAGE_VISIBILITY_SHARED or not viewer:
            return False
        try:
            member = await self.members.get_member(image.id, viewer)
        except NotFoundError:
            return False
        return query.any_member_status or member.status == (
            query.member_status or IMAGE_MEMBER_STATUS_ACCEPTED
        )


class _Checked:
    """Data on its way to Glance. The last chunk is held back until size and checksum are known to be right:
    an upload that lacks it is one that broke, and Glance throws it away."""

    def __init__(self, upload: Upload, data: AsyncIterator[bytes]) -> None:
        self._upload = upload
        self._data = data
        self.failure: BaseException | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._checked():
                yield chunk
        except BaseException as failure:
            self.failure = failure
            raise

    async def _checked(self) -> AsyncIterator[bytes]:
        upload, size, held = self._upload, 0, b""
        md5 = hashlib.md5(usedforsecurity=False)
        async for chunk in self._data:
            size += len(chunk)
            if upload.max_bytes and size > upload.max_bytes:
                raise ResourceExhaustedError(
                    "image_size", f"The image is larger than the {upload.max_bytes} bytes allowed."
                )
            if upload.checksum:
                md5.update(chunk)
            if held:
                yield held
            held = chunk
        if upload.size is not None and size != upload.size:
            raise ImageUnacceptableError(
                upload.image.id, "size", f"{upload.size} bytes were announced, {size} came."
            )
        if upload.checksum and md5.hexdigest() != upload.checksum.lower():
            raise ImageUnacceptableError(
                upload.image.id, "checksum", "The data's MD5 is not the one announced."
            )
        if held:
            yield held


def _path(image_id: str) -> str:
    return f"{_IMAGES}/{quote(image_id, safe='')}"
