"""POST /servers: what the request asks for, checked against flavor and image, and handed to the conductor."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.compute.backends import ComputeRequest
from gateway.compute.parameters import address, as_bool, user_data
from gateway.compute.schemas import servers as schema
from gateway.compute.server_admin_passwords import admin_password
from gateway.compute.server_destinations import put_destination
from gateway.compute.server_devices import boot_image
from gateway.compute.server_files import beyond_limits, files_of
from gateway.compute.server_images import (
    check_boot_files,
    check_image,
    find_image,
    image_properties,
    refuse_certificates,
)
from gateway.compute.server_networks import networks_of
from gateway.compute.views.links import LinkMaker
from gateway.compute.views.servers import IMAGE_PREFIX
from gateway.faults import HttpError
from gateway.requests import Answer
from gateway.routes import Route
from novamesh.conductor.v1.flavor_service_pb2 import GetFlavorRequest
from novamesh.conductor.v1.instance_service_pb2 import CreateInstancesRequest
from novamesh.failures import NotFoundError, QuotaExceededError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.image_pb2 import Image
from novamesh.types.v1.instance_pb2 import BlockDevice, Instance


async def create(call: ComputeRequest) -> object:
    """Accept one server or several; 202."""
    given = call.body["server"]
    _check_policy(call, given)
    _refuse_what_is_missing(given)
    min_count, max_count = _counts(given)
    image_id = boot_image(given)
    flavor, image = await asyncio.gather(_flavor(call, str(given["flavorRef"])), find_image(call, image_id))
    check_image(
        image, flavor, zero_disk_allowed=call.allows("os_compute_api:servers:create:zero_disk_flavor")
    )
    await check_boot_files(call, image)
    networks, no_network = networks_of(given.get("networks"), max_count)
    template = _template(given, image, flavor)
    if call.minor < 19:
        # Until descriptions could be given, a server's was its name.
        template.display_description = template.display_name
    _put_hints(template, call.body.get("os:scheduler_hints") or call.body.get("OS-SCH-HNT:scheduler_hints"))
    request = CreateInstancesRequest(
        request_id=call.context.request_id,
        template=template,
        flavor_id=flavor.id,
        min_count=min_count,
        max_count=max_count,
        networks=networks,
        no_network=no_network,
    )
    await put_destination(call, given, request)
    try:
        answer = await call.state.instances.CreateInstances(request, timeout=call.state.timeout)
    except NotFoundError as failure:
        raise _bad_reference(failure, given) from None
    except QuotaExceededError as failure:
        if any(one.resource == "server_group_members" for one in failure.shortages):
            raise HttpError(403, "Quota exceeded, too many servers in group") from None
        raise beyond_limits(failure) or failure from None
    first = answer.instances[0]
    if as_bool(given.get("return_reservation_id", False)):
        return Answer({"reservation_id": first.reservation_id})
    return _accepted(call, given, first)


def _accepted(call: ComputeRequest, given: Mapping[str, Any], instance: Instance) -> Answer:
    servers = LinkMaker(call, "servers")
    options = call.state.options
    shown: dict[str, Any] = {
        "id": instance.id,
        "links": servers.links(instance.id),
        "OS-DCF:diskConfig": "AUTO" if instance.auto_disk_config else "MANUAL",
        "security_groups": given.get("security_groups") or [{"name": "default"}],
    }
    if options.enable_instance_password:
        shown["adminPass"] = admin_password(call, given)
    return Answer({"server": shown}, headers={"Location": servers.own(instance.id)})


def _check_policy(call: ComputeRequest, given: Mapping[str, Any]) -> None:
    """Some parts of a create have rules of their own."""
    for rule, parts in (
        ("attach_volume", ("block_device_mapping", "block_device_mapping_v2")),
        ("trusted_certs", ("trusted_image_certificates",)),
    ):
        if any(given.get(part) for part in parts):
            call.require(f"os_compute_api:servers:create:{rule}")
    if given.get("networks") and given["networks"] != "none":
        call.require("os_compute_api:servers:create:attach_network")


def _refuse_what_is_missing(given: Mapping[str, Any]) -> None:
    """Say no, by name, to what the API knows and this cloud can't do; silence would be a lie."""
    refuse_certificates(given)
    for group in given.get("security_groups") or ():
        name = group.get("name", "default")
        if name != "default":
            raise HttpError(400, f"Security group {name} not found.")


def _counts(given: Mapping[str, Any]) -> tuple[int, int]:
    min_count = int(given.get("min_count", 1))
    max_count = int(given.get("max_count", min_count))
    if min_count > max_count:
        raise HttpError(400, "min_count must be <= max_count")
    return min_count, max_count


async def _flavor(call: ComputeRequest, flavor_id: str) -> Flavor:
    try:
        answer = await call.state.flavors.GetFlavor(
            GetFlavorRequest(id=flavor_id, project_id=call.project_scope), timeout=call.state.timeout
        )
    except NotFoundError:
        raise HttpError(400, f"Flavor {flavor_id} could not be found.") from None
    if answer.flavor.disabled:
        raise HttpError(400, f"Flavor {flavor_id} could not be found.")
    return answer.flavor


def _template(given: Mapping[str, Any], image: Image, flavor: Flavor) -> Instance:
    auto = given.get("OS-DCF:diskConfig")
    if auto == "AUTO" and image.properties.get("auto_disk_config", "").lower() == "disabled":
        raise HttpError(400, f"Requested image {image.id} has automatic disk resizing disabled.")
    template = Instance(
        display_name=given["name"],
        display_description=given.get("description") or "",
        hostname=given.get("hostname") or hostname_of(given["name"]),
        image_id=image.id,
        kernel_id=image.properties.get("kernel_id", ""),
        ramdisk_id=image.properties.get("ramdisk_id", ""),
        key_name=given.get("key_name") or "",
        user_data=user_data(given.get("user_data")),
        config_drive=as_bool(given.get("config_drive") or False),
        metadata=given.get("metadata") or {},
        tags=dict.fromkeys(given.get("tags") or ()),
        access_ip_v4=address(given.get("accessIPv4")),
        access_ip_v6=address(given.get("accessIPv6")),
        security_groups=["default"],
        auto_disk_config=auto != "MANUAL" if auto else image.properties.get("auto_disk_config") == "True",
        injected_files=files_of(given.get("personality")),
    )
    template.block_devices.append(
        BlockDevice(
            source_type="image",
            destination_type="local",
            source_id=image.id,
            boot_index=0,
            size_gb=flavor.root_gb,
            delete_on_termination=True,
        )
    )
    for name, value in image_properties(image, flavor).items():
        template.system_metadata[IMAGE_PREFIX + name] = value
    return template


def hostname_of(name: str) -> str:
    """A name that a guest's resolver takes, made of a server's name: `My web 1` becomes `my-web-1`.

    Short enough for the number that each server of several gets.
    """
    plain = re.sub(r"[^a-z0-9-]+", "", re.sub(r"[ _.]+", "-", name.lower()))
    return plain.strip("-")[:58].rstrip("-") or "server"


def _put_hints(template: Instance, hints: Mapping[str, Any] | None) -> None:
    for name, value in (hints or {}).items():
        if isinstance(value, list):
            text = ",".join(str(one) for one in value)
        else:
            # A query may be an object.
            text = orjson.dumps(value).decode() if isinstance(value, dict) else str(value)
        template.scheduler_hints[name] = text


def _bad_reference(failure: NotFoundError, given: Mapping[str, Any]) -> HttpError:
    """A create that names what isn't there is a bad request, not a 404."""
    detail = failure.detail
    kind = getattr(detail, "resource_type", "")
    if kind in ("keypair", "key_pair"):
        return HttpError(400, f"Invalid key_name provided. Keypair {given.get('key_name')} not found.")
    return HttpError(400, failure.message)


ROUTES = (Route("POST", "/servers", "os_compute_api:servers:create", create, status=202, body=schema.CREATE),)
