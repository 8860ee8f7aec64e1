"""Who may call the image role: full method name to the roles that may."""

_IMAGE = "/novamesh.image.v1.ImageService/"
_MEMBER = "/novamesh.image.v1.MemberService/"
_WRITERS = frozenset({"gateway", "conductor", "objectstore", "admin"})
# A host reads the images of its guests and uploads snapshots into records that others made for it: no more,
# because it can name any user it likes. services/image/uploads.py holds it to the images of its operations.
_HOSTS = _WRITERS | {"compute"}
_USERS = frozenset({"gateway", "admin"})

ROWS: dict[str, frozenset[str]] = {
    _IMAGE + "CreateImage": _WRITERS,
    _IMAGE + "GetImage": _HOSTS | {"scheduler"},
    _IMAGE + "ListImages": _WRITERS,
    _IMAGE + "UpdateImage": _WRITERS,
    _IMAGE + "DeleteImage": _WRITERS,
    _IMAGE + "UploadImage": _HOSTS,
    _IMAGE + "DownloadImage": _HOSTS,
    _IMAGE + "DeactivateImage": _USERS,
    _IMAGE + "ReactivateImage": _USERS,
    _MEMBER + "AddMember": _USERS,
    _MEMBER + "GetMember": _USERS,
    _MEMBER + "ListMembers": _USERS,
    _MEMBER + "UpdateMember": _USERS,
    _MEMBER + "RemoveMember": _USERS,
}
