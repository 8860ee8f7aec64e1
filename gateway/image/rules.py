"""Policy rules of the Image API: Glance's names and default roles.

The gateway asks only whether a user with these roles may do such a thing to an
image of that project. Whether the user can see the image at all was settled by
the image role, so `get_image` needn't repeat visibility and membership.
"""

from gateway.policy import Rule

_ADMIN = "rule:context_is_admin"
_MEMBER = f"{_ADMIN} or (role:member and project_id:%(project_id)s)"
_READER = f"{_ADMIN} or role:reader"

RULES = (
    Rule("context_is_admin", "role:admin", "Who is an administrator."),
    Rule("add_image", _MEMBER, "Create an image."),
    Rule("delete_image", _MEMBER, "Delete an image."),
    Rule("get_image", _READER, "Show an image."),
    Rule("get_images", _READER, "List images."),
    Rule("modify_image", _MEMBER, "Change an image's fields, properties and tags."),
    Rule("publicize_image", _ADMIN, "Make an image public."),
    Rule("communitize_image", _MEMBER, "Make an image a community image."),
    Rule("download_image", f"{_ADMIN} or role:member", "Download an image's data."),
    Rule("upload_image", _MEMBER, "Upload an image's data."),
    Rule("deactivate", _MEMBER, "Deactivate an image."),
    Rule("reactivate", _MEMBER, "Reactivate an image."),
    Rule("add_member", _MEMBER, "Share an image with a project."),
    Rule("delete_member", _MEMBER, "End the sharing with a project."),
    Rule("get_member", _READER, "Show a member of an image."),
    Rule("get_members", _READER, "List the members of an image."),
    # The project here is the member's, not the image's.
    Rule("modify_member", _MEMBER, "Accept or decline an image."),
)
