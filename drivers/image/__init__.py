"""What keeps images: records and data, behind two small Protocols.

A driver stores and finds. It doesn't ask who the caller is: the image role has
already checked that (services/image/rules.py), so a driver acts with all rights
and a driver that talks to another service does so with credentials of its own.
The one place where a user shows through is a `Listing`, because only the driver
can narrow a long list to what one project sees without reading all of it.

**An image's life.** `create` writes a record in the state queued. `upload` moves
it to saving, takes the data in order, computes MD5 and SHA-512 on the way, and
moves it to active with size and digests filled in; when the stream raises, or
ends early, or the driver does, the record is queued again and no data is left.
`download` yields the data of an active or deactivated image. `delete` removes
the record first, then the data, so that what a crash leaves is data without a
record, which the driver drops when it starts.

**Arguments.** `Image` is novamesh.types.v1.Image and is never changed in place: a
driver answers with a new message. Sizes are bytes. `data` is an async iterator
of chunks of any size up to 1 MiB or so; a driver never holds more than a few of
them. A `Change` names the fields to write and, when `generation` isn't 0, the
generation that they were decided on; a driver that has no generations (Glance
has none) applies the change to what is there.

**Failures.** Every method raises classes of novamesh.failures: NotFoundError for
an image that isn't there, AlreadyExistsError for a taken id,
ImageUnacceptableError with the problem `status` for a state that forbids the
step, `size` or `checksum` for data that isn't what was announced, `data` for
data that is gone, InvalidArgumentError("disk_format") for data of another format
than the record says, ResourceExhaustedError for a full disk or a size beyond the
cap, UnavailableError when the store doesn't answer now.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from novamesh.types.v1.image_member_pb2 import ImageMember, ImageMemberStatus
from novamesh.types.v1.image_pb2 import Image
from novamesh.types.v1.image_query_pb2 import ImageQuery

# What a chunk of data is cut to, here and in the contract.
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Listing:
    """A page of a list, as one project or (`all_projects`) an administrator sees it."""

    query: ImageQuery
    viewer_project_id: str = ""
    all_projects: bool = False
    page_size: int = 0
    """Most images in the page; 0 for all."""
    page_token: str = ""
    """Id of the last image of the page before; empty for the first."""


@dataclass(frozen=True)
class Page:
    """Images, and the token of the next page or an empty string."""

    images: Sequence[Image]
    next_page_token: str = ""


@dataclass(frozen=True)
class Change:
    """New values of some fields of a record. `paths` are names of fields of Image."""

    image_id: str
    image: Image
    paths: Sequence[str]
    generation: int = 0


@dataclass(frozen=True)
class Upload:
    """What is known of data before it comes."""

    image: Image
    """The record, queued."""
    size: int | None = None
    """Bytes announced; None when unknown."""
    checksum: str = ""
    """MD5 announced, in hexadecimal; empty for none."""
    max_bytes: int = 0
    """Most bytes accepted; 0 for any number."""


@runtime_checkable
class MemberDriver(Protocol):
    """The projects that shared images are shared with."""

    async def add_member(self, image_id: str, project_id: str, limit: int) -> ImageMember:
        """Record a pending member. Raises AlreadyExistsError, and ResourceExhaustedError beyond `limit`."""

    async def get_member(self, image_id: str, project_id: str) -> ImageMember:
        """One member. Raises NotFoundError."""

    async def list_members(self, image_id: str) -> Sequence[ImageMember]:
        """All members, oldest first."""

    async def update_member(
        self, image_id: str, project_id: str, status: ImageMemberStatus.ValueType
    ) -> ImageMember:
        """Write a member's status. Raises NotFoundError."""

    async def remove_member(self, image_id: str, project_id: str) -> None:
        """Forget a member. Raises NotFoundError."""


@runtime_checkable
class ImageDriver(Protocol):
    """Images and their data."""

    name: str
    members: MemberDriver

    async def start(self) -> None:
        """Get ready and clean up after a crash. Raises what names the missing part."""

    async def stop(self) -> None:
        """Let go of files and connections."""

    async def create(self, image: Image, request_id: str) -> Image:
        """Record a new image, queued. `request_id`, when given, makes a repetition harmless."""

    async def get(self, image_id: str) -> Image:
        """One record. Raises NotFoundError."""

    async def list_images(self, listing: Listing) -> Page:
        """A page of records. Raises InvalidArgumentError for a page token that names no image."""

    async def update(self, change: Change) -> Image:
        """Write fields of a record. Raises NotFoundError, GenerationConflictError."""

    async def delete(self, image_id: str) -> None:
        """Remove a record and its data. Raises NotFoundError, PermissionDeniedError when protected."""

    async def set_active(self, image_id: str, active: bool) -> Image:
        """Deactivate or reactivate. Raises ImageUnacceptableError in other states than these two."""

    async def upload(self, upload: Upload, data: AsyncIterator[bytes]) -> Image:
        """Store the data of a queued image; the answer is active."""

    def download(self, image: Image, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes of the data from `offset` on, in chunks of at most CHUNK_BYTES."""
