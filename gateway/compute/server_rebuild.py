"""Action rebuild: a server's disks made anew, from its own image or another."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from gateway.compute import server_operations
from gateway.compute.backends import ComputeRequest
from gateway.compute.parameters import address, as_bool, user_data
from gateway.compute.schemas.rebuild import REBUILD
from gateway.compute.server_admin_passwords import admin_password
from gateway.compute.server_files import beyond_limits, files_of
from gateway.compute.server_images import (
    check_boot_files,
    check_image,
    find_image,
    image_properties,
    refuse_certificates,
)
from gateway.compute.servers import find, view_for
from gateway.compute.views.links import LinkMaker
from gateway.compute.views.servers import IMAGE_PREFIX
from gateway.faults import HttpError
from gateway.requests import Answer
from gateway.routes import Route
from novamesh.failures import NotFoundError, QuotaExceededError
from novamesh.types.v1.image_pb2 import Image
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import OperationArguments, OperationKind, RebuildArguments

# What a request may change: its field, the record's, and how the one becomes the other.
_FIELDS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("name", "display_name", str),
    ("description", "display_description", lambda given: given or ""),
    ("hostname", "hostname", str),
    ("key_name", "key_name", lambda given: given or ""),
    ("user_data", "user_data", user_data),
    ("accessIPv4", "access_ip_v4", address),
    ("accessIPv6", "access_ip_v6", address),
)
# What the answer has beside the server as an update shows it: first microversion, name and value.
_ADDED: tuple[tuple[int, str, Callable[[Instance], Any]], ...] = (
    (54, "key_name", lambda instance: instance.key_name or None),
    (57, "user_data", lambda instance: b64encode(instance.user_data).decode() or None),
)
# It is there under its own name.
_LEFT_OUT = "OS-EXT-SRV-ATTR:user_data"


async def rebuild(call: ComputeRequest) -> object:
    """Accept it; 202 with the server as it is going to be."""
    given = call.body["rebuild"]
    instance = await find(call)
    _refuse_what_is_missing(call, given)
    image = await find_image(call, given["imageRef"], "Cannot find image for rebuild")
    check_image(
        image,
        instance.flavor,
        zero_disk_allowed=call.allows("os_compute_api:servers:create:zero_disk_flavor"),
    )
    await check_boot_files(call, image)
    try:
        answer = await server_operations.start(
            call,
            OperationKind.OPERATION_KIND_REBUILD,
            OperationArguments(rebuild=_arguments(given, instance, image)),
        )
    except NotFoundError as failure:
        if getattr(failure.detail, "resource_type", "") == "keypair":
            raise HttpError(400, "Invalid key_name provided.") from None
        raise
    except QuotaExceededError as failure:
        raise beyond_limits(failure) or failure from None
    view = await view_for(call, "update")
    shown = view.show(answer.instance)
    shown.pop(_LEFT_OUT, None)
    shown |= {name: value(answer.instance) for first, name, value in _ADDED if call.minor >= first}
    if call.state.options.enable_instance_password:
        shown["adminPass"] = admin_password(call, given)
    return Answer({"server": shown}, headers={"Location": LinkMaker(call, "servers").own(instance.id)})


def _refuse_what_is_missing(call: ComputeRequest, given: Mapping[str, Any]) -> None:
    if given.get("trusted_image_certificates"):
        call.require("os_compute_api:servers:rebuild:trusted_certs")
    refuse_certificates(given)


def _arguments(given: Mapping[str, Any], instance: Instance, image: Image) -> RebuildArguments:
    auto = given.get("OS-DCF:diskConfig")
    arguments = RebuildArguments(
        image_id=image.id, preserve_ephemeral=as_bool(given.get("preserve_ephemeral", False))
    )
    changes = arguments.changes
    changes.kernel_id = image.properties.get("kernel_id", "")
    changes.ramdisk_id = image.properties.get("ramdisk_id", "")
    changes.auto_disk_config = auto == "AUTO" if auto else image.properties.get("auto_disk_config") == "True"
    for name, value in image_properties(image, instance.flavor).items():
        changes.system_metadata[IMAGE_PREFIX + name] = value
    arguments.update_mask.paths.extend(("kernel_id", "ramdisk_id", "auto_disk_config", "system_metadata"))
    if "metadata" in given:
        changes.metadata.update(given["metadata"])
        arguments.update_mask.paths.append("metadata")
    if given.get("personality"):
        changes.injected_files.update(files_of(given["personality"]))
        arguments.update_mask.paths.append("injected_files")
    for name, field, convert in _FIELDS:
        if name in given:
            setattr(changes, field, convert(given[name]))
            arguments.update_mask.paths.append(field)
    return arguments


ROUTES = (
    Route(
        "POST",
        "/servers/{id}/action",
        "os_compute_api:servers:rebuild",
        rebuild,
        status=202,
        body=REBUILD,
        action="rebuild",
    ),
)
