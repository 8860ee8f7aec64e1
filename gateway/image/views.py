"""Images and members as the Image API's JSON, and its words for the contract's numbers."""

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from novamesh.types.v1.image_member_pb2 import ImageMember, ImageMemberStatus
from novamesh.types.v1.image_pb2 import (
    IMAGE_STATUS_QUEUED,
    IMAGE_STATUS_SAVING,
    Image,
    ImageStatus,
    ImageVisibility,
)


def _words(enum: Any, prefix: str) -> dict[int, str]:
    return {number: enum.Name(number).removeprefix(prefix).lower() for number in enum.values()[1:]}


STATUS_WORDS = _words(ImageStatus, "IMAGE_STATUS_")
VISIBILITY_WORDS = _words(ImageVisibility, "IMAGE_VISIBILITY_")
MEMBER_WORDS = _words(ImageMemberStatus, "IMAGE_MEMBER_STATUS_")
STATUSES = {word: ImageStatus.ValueType(number) for number, word in STATUS_WORDS.items()}
VISIBILITIES = {word: ImageVisibility.ValueType(number) for number, word in VISIBILITY_WORDS.items()}
MEMBER_STATUSES = {word: ImageMemberStatus.ValueType(number) for number, word in MEMBER_WORDS.items()}

_NO_DATA = (IMAGE_STATUS_QUEUED, IMAGE_STATUS_SAVING)


def show_image(image: Image) -> dict[str, Any]:
    """An image with its properties beside its fields, as the Image API has them."""
    path = f"/v2/images/{image.id}"
    empty = image.status in _NO_DATA
    view: dict[str, Any] = dict(image.properties)
    view.update(
        name=image.name or None,
        disk_format=image.disk_format or None,
        container_format=image.container_format or None,
        visibility=VISIBILITY_WORDS.get(image.visibility, "shared"),
        size=None if empty else image.size,
        virtual_size=image.virtual_size or None,
        status=STATUS_WORDS.get(image.status, "queued"),
        checksum=image.checksum or None,
        protected=image.protected,
        min_ram=image.min_ram_mb,
        min_disk=image.min_disk_gb,
        owner=image.owner or None,
        os_hidden=image.hidden,
        os_hash_algo=image.os_hash_algo or None,
        os_hash_value=image.os_hash_value or None,
        id=image.id,
        created_at=_time(image.created_at),
        updated_at=_time(image.updated_at),
        tags=list(image.tags),
        self=path,
        file=f"{path}/file",
        schema="/v2/schemas/image",
    )
    return view


def show_member(member: ImageMember) -> dict[str, Any]:
    """A member of an image."""
    return {
        "member_id": member.project_id,
        "image_id": member.image_id,
        "status": MEMBER_WORDS.get(member.status, "pending"),
        "created_at": _time(member.created_at),
        "updated_at": _time(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime().strftime("%Y-%m-%dT%H:%M:%SZ")
