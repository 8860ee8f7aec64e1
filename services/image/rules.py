"""Who may see and change which image.

These are the Image API's rules of tenancy. Which of a project's users may do
what (policy rules by role name) was settled by the gateway before.
"""

from dataclasses import dataclass

from drivers.image import ImageDriver
from novamesh.failures import NotFoundError, PermissionDeniedError
from novamesh.types.v1.image_pb2 import (
    IMAGE_VISIBILITY_COMMUNITY,
    IMAGE_VISIBILITY_PUBLIC,
    IMAGE_VISIBILITY_SHARED,
    Image,
)
from services.mesh import Call

# Roles that may call without a user and then see and change everything.
_TRUSTED = frozenset({"conductor", "scheduler", "objectstore", "image", "admin"})
# The same for reading alone: a stolen compute host must not be able to replace the images of the whole cloud.
_READING = _TRUSTED | {"compute"}


@dataclass(frozen=True)
class Viewer:
    """For whom a call is made. `unbounded` is an administrator or the cloud itself."""

    project_id: str
    unbounded: bool


def viewer_of(call: Call, *, reading: bool) -> Viewer:
    """For whom this call is made.

    Raises PermissionDeniedError when it names no user and its peer may not act by itself.
    """
    context = call.context
    if context.user_id or context.project_id:
        return Viewer(context.project_id, context.is_admin)
    if call.peer.role not in (_READING if reading else _TRUSTED):
        raise PermissionDeniedError(
            call.method, f"The role {call.peer.role} needs a user to call {call.method}."
        )
    return Viewer("", True)


def owns(viewer: Viewer, image: Image) -> bool:
    """True for the owner's project, for administrators and for the cloud."""
    return viewer.unbounded or (bool(image.owner) and image.owner == viewer.project_id)


async def visible_image(driver: ImageDriver, viewer: Viewer, image_id: str) -> Image:
    """The image, when the viewer may see it. Raises NotFoundError otherwise."""
    image = await driver.get(image_id)
    if owns(viewer, image) or image.visibility in (IMAGE_VISIBILITY_PUBLIC, IMAGE_VISIBILITY_COMMUNITY):
        return image
    if image.visibility == IMAGE_VISIBILITY_SHARED and viewer.project_id:
        try:
            # Whatever it made of the offer: a member that declined may still use the image by its id.
            await driver.members.get_member(image_id, viewer.project_id)
            return image
        except NotFoundError:
            pass
    raise NotFoundError("image", image_id)


async def owned_image(driver: ImageDriver, viewer: Viewer, image_id: str, rule: str) -> Image:
    """The image, when the viewer may change it.

    Raises NotFoundError when it may not even see it, else PermissionDeniedError naming `rule`.
    """
    image = await visible_image(driver, viewer, image_id)
    if not owns(viewer, image):
        raise PermissionDeniedError(rule, f"You are not permitted to change image {image_id}.")
    return image
