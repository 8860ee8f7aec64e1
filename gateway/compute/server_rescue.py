"""Actions rescue and unrescue: a server started from another image, with its own disk beside it."""

from gateway.compute import parameters as p
from gateway.compute import server_operations
from gateway.compute.backends import ComputeRequest
from gateway.compute.server_admin_passwords import admin_password
from gateway.compute.server_images import check_boot_files, find_image
from gateway.compute.server_operations import action
from gateway.faults import HttpError
from novamesh.types.v1.image_pb2 import ImageStatus
from novamesh.types.v1.operation_pb2 import OperationArguments, OperationKind, RescueArguments


async def rescue(call: ComputeRequest) -> object:
    """Accept it; 200 with the password that the rescue image may take from its metadata."""
    given = call.body["rescue"] or {}
    arguments = RescueArguments()
    if image_id := given.get("rescue_image_ref"):
        unsupported = f"Requested rescue image '{image_id}' is not supported"
        image = await find_image(call, image_id, unsupported)
        if image.status != ImageStatus.IMAGE_STATUS_ACTIVE:
            raise HttpError(400, unsupported)
        await check_boot_files(call, image)
        arguments.image_id = image.id
        arguments.kernel_id = image.properties.get("kernel_id", "")
        arguments.ramdisk_id = image.properties.get("ramdisk_id", "")
        arguments.properties.update(image.properties)
    await server_operations.start(
        call, OperationKind.OPERATION_KIND_RESCUE, OperationArguments(rescue=arguments)
    )
    if not call.state.options.enable_instance_password:
        return {}
    return {"adminPass": admin_password(call, given)}


_RESCUE = p.wrapped(
    "rescue",
    {
        "type": ["object", "null"],
        "properties": {"adminPass": {"type": "string"}, "rescue_image_ref": p.UUID},
        "additionalProperties": False,
    },
)
_UNRESCUE = server_operations.simple(OperationKind.OPERATION_KIND_UNRESCUE)

ROUTES = (
    action("rescue", "os-rescue", rescue, status=200, body=((1, _RESCUE),)),
    action("unrescue", "os-unrescue", _UNRESCUE),
)
