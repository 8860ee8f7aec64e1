"""Actions createImage and createBackup: images of a server's root disk."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from gateway.compute import parameters as p
from gateway.compute import server_operations
from gateway.compute.backends import ComputeRequest
from gateway.compute.image_metadata import check_quota
from gateway.compute.images import image_url
from gateway.compute.servers import find
from gateway.compute.views.servers import IMAGE_PREFIX
from gateway.faults import HttpError
from gateway.requests import Answer, Handler
from gateway.routes import Route
from gateway.schemas import Schema
from novamesh.failures import Failure
from novamesh.image.v1.image_service_pb2 import CreateImageRequest, DeleteImageRequest
from novamesh.image.v1.member_service_pb2 import AddMemberRequest
from novamesh.image.v1.member_service_pb2_grpc import MemberServiceStub
from novamesh.types.v1.image_pb2 import IMAGE_VISIBILITY_PRIVATE, IMAGE_VISIBILITY_SHARED, Image
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import OperationArguments, OperationKind, SnapshotArguments

# What an image keeps of its own in the record of its servers, and not among the properties.
_FIELDS = frozenset({"container_format", "disk_format", "min_disk", "min_ram"})
# Properties that are about one image and mustn't go on to images made of its servers; the names are Nova's.
_NOT_INHERITED = frozenset(
    {
        "bittorrent",
        "cache_in_nova",
        "cinder_encryption_key_deletion_policy",
        "cinder_encryption_key_id",
        "img_signature",
        "img_signature_certificate_uuid",
        "img_signature_hash_method",
        "img_signature_key_type",
    }
)
_NOT_INHERITED_PREFIX = "os_glance"


@dataclass(frozen=True)
class Snapshot:
    """An image that is to be made of a server."""

    name: str
    kind: OperationKind.ValueType
    backup_type: str = ""
    """`daily`, or what its user calls those that are rotated together."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    rotation: int = 0


async def take(call: ComputeRequest, instance: Instance, wanted: Snapshot) -> str:
    """Record the image as the caller's, and have it filled; its id.

    Raises what the image role refuses a record with, HttpError 404 for the server, and the conductor's
    failures; the record is gone again then.
    """
    image = await _record(call, instance, wanted)
    arguments = SnapshotArguments(image_id=image.id)
    if wanted.kind == OperationKind.OPERATION_KIND_BACKUP:
        arguments.backup_type = wanted.backup_type
        arguments.rotation = wanted.rotation
    try:
        if image.visibility == IMAGE_VISIBILITY_SHARED:
            await _share(call, image, instance.project_id)
        await server_operations.start(call, wanted.kind, OperationArguments(snapshot=arguments))
    except (Failure, HttpError):
        await _remove(call, image.id)
        raise
    return image.id


async def _record(call: ComputeRequest, instance: Instance, wanted: Snapshot) -> Image:
    kept = {
        key.removeprefix(IMAGE_PREFIX): value
        for key, value in instance.system_metadata.items()
        if key.startswith(IMAGE_PREFIX)
    }
    own = instance.project_id == call.context.project_id
    image = Image(
        name=wanted.name,
        # An image that somebody else has made of one's server is to be seen, too.
        visibility=IMAGE_VISIBILITY_PRIVATE if own else IMAGE_VISIBILITY_SHARED,
        min_disk_gb=int(kept.get("min_disk") or 0),
        min_ram_mb=int(kept.get("min_ram") or 0),
    )
    properties = image.properties
    properties.update(
        (name, value)
        for name, value in kept.items()
        if name not in _FIELDS | _NOT_INHERITED and not name.startswith(_NOT_INHERITED_PREFIX)
    )
    properties.update(
        image_location="snapshot",
        image_state="available",
        image_type="snapshot",
        instance_uuid=instance.id,
        owner_id=instance.project_id,
        user_id=call.context.user_id,
    )
    if wanted.kind == OperationKind.OPERATION_KIND_BACKUP:
        properties.update(image_type="backup", backup_type=wanted.backup_type)
    if instance.kernel_id:
        properties.update(kernel_id=instance.kernel_id, ramdisk_id=instance.ramdisk_id)
    properties.update(wanted.metadata)
    request = CreateImageRequest(image=image, request_id=f"{call.context.request_id} {instance.id}")
    answer = await call.state.images.CreateImage(request, timeout=call.state.timeout)
    recorded: Image = answer.image
    return recorded


async def _share(call: ComputeRequest, image: Image, project_id: str) -> None:
    members = MemberServiceStub(call.state.node.channel("image"))
    request = AddMemberRequest(image_id=image.id, project_id=project_id)
    await members.AddMember(request, timeout=call.state.timeout)


async def _remove(call: ComputeRequest, image_id: str) -> None:
    try:
        await call.state.images.DeleteImage(DeleteImageRequest(image_id=image_id), timeout=call.state.timeout)
    except Failure:
        # The user is told why there is no snapshot; the record without data is theirs to delete.
        return


async def create_image(call: ComputeRequest) -> str:
    """createImage; the image's id."""
    given = call.body["createImage"]
    metadata = given.get("metadata", {})
    wanted = Snapshot(given["name"], OperationKind.OPERATION_KIND_SNAPSHOT, metadata=metadata)
    return await take(call, await find(call), wanted)


async def create_backup(call: ComputeRequest) -> str:
    """createBackup; the image's id."""
    given = call.body["createBackup"]
    instance = await find(call)
    if not instance.image_id:
        raise HttpError(400, "Backup is not supported for volume-backed instances.")
    wanted = Snapshot(
        given["name"],
        OperationKind.OPERATION_KIND_BACKUP,
        given["backup_type"],
        given.get("metadata", {}),
        int(given["rotation"]),
    )
    return await take(call, instance, wanted)


Work = Callable[[ComputeRequest], Awaitable[str]]


def _located(action: str, work: Work) -> Handler:
    """Until 2.45 the image was told by its place; a backup of which nothing will be left has none."""

    async def act(call: ComputeRequest) -> Answer:
        image_id = await work(call)
        lasts = int(call.body[action].get("rotation", 1)) > 0
        return Answer(headers={"Location": image_url(call, image_id)} if lasts else {})

    return act


def _counted(action: str, work: Work) -> Handler:
    """Until 2.39 metadata counted against a quota."""
    located = _located(action, work)

    async def act(call: ComputeRequest) -> object:
        if metadata := call.body[action].get("metadata"):
            await check_quota(call, len(metadata))
        return await located(call)

    return act


def _identified(work: Work) -> Handler:
    async def act(call: ComputeRequest) -> object:
        return {"image_id": await work(call)}

    return act


_IMAGE = p.wrapped("createImage", p.record({"name": p.NAME, "metadata": p.METADATA}, ("name",)))
_BACKUP = p.wrapped(
    "createBackup",
    p.record(
        {
            "name": p.NAME,
            "backup_type": {"type": "string", "maxLength": 255},
            "rotation": p.NON_NEGATIVE,
            "metadata": p.METADATA,
        },
        ("name", "backup_type", "rotation"),
    ),
)


def _routes(action: str, rule: str, work: Work, body: Schema) -> tuple[Route, ...]:
    def route(handler: Handler, first: int, last: int | None = None) -> Route:
        return Route(
            "POST",
            "/servers/{id}/action",
            f"os_compute_api:{rule}",
            handler,
            status=202,
            body=((1, body),),
            action=action,
            first=first,
            last=last,
        )

    return (
        route(_counted(action, work), 1, 38),
        route(_located(action, work), 39, 44),
        route(_identified(work), 45),
    )


ROUTES = (
    *_routes("createImage", "servers:create_image", create_image, _IMAGE),
    *_routes("createBackup", "os-create-backup", create_backup, _BACKUP),
)
