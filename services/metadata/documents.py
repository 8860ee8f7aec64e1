"""Paths to documents, and the files of a config drive."""

from collections.abc import Iterator, Sequence

import orjson

from novamesh.failures import NotFoundError
from services.metadata import ec2, openstack
from services.metadata.openstack import Source

_LATEST = "latest"
# EC2's older versions are for guests that ask over the network; a drive has the last.
_DRIVE_EC2_VERSIONS = ("2009-04-04", _LATEST)


def read(source: Source, path: str) -> tuple[str, bytes]:
    """Content type and content of what is at a path, for example `/latest/meta-data/hostname`.

    Raises NotFoundError.
    """
    names = _split(path)
    try:
        if names[:1] == ["openstack"]:
            return _read_openstack(source, names[1:])
        # EC2's tree is at the root, and once more below /ec2.
        return openstack.TEXT, _read_ec2(source, names[1:] if names[:1] == ["ec2"] else names)
    except (KeyError, ValueError) as error:
        raise NotFoundError("metadata path", path) from error


def config_drive(source: Source) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file of a config drive."""
    for version in _DRIVE_EC2_VERSIONS:
        tree = ec2.tree(source.instance, _known(version, ec2.VERSIONS), source.domain)
        yield f"ec2/{version}/meta-data.json", orjson.dumps(ec2.plain(tree["meta-data"]))
        if source.instance.user_data:
            yield f"ec2/{version}/user-data", source.instance.user_data
    for version in (*openstack.VERSIONS, _LATEST):
        known = _known(version, openstack.VERSIONS)
        for name in openstack.names(source, known):
            # A drive can't be written to by its guest, so there never is a password on it.
            if name != "password":
                yield f"openstack/{version}/{name}", openstack.read(source, known, name)[1]
    for name, path in openstack.content_names(source.instance):
        yield f"openstack/{openstack.CONTENT}/{name}", source.instance.injected_files[path]


def _read_openstack(source: Source, names: Sequence[str]) -> tuple[str, bytes]:
    if not names:
        return openstack.TEXT, "\n".join((*openstack.VERSIONS, _LATEST)).encode()
    if names[0] == openstack.CONTENT:
        if len(names) != 2:
            raise KeyError("/".join(names))
        return "application/octet-stream", openstack.content(source.instance, names[1])
    version = _known(names[0], openstack.VERSIONS)
    if len(names) == 1:
        return openstack.TEXT, "\n".join(openstack.names(source, version)).encode()
    if len(names) > 2:
        raise KeyError(names[2])
    return openstack.read(source, version, names[1])


def _read_ec2(source: Source, names: Sequence[str]) -> bytes:
    if not names:
        return "\n".join((*ec2.VERSIONS, _LATEST)).encode()
    tree = ec2.tree(source.instance, _known(names[0], ec2.VERSIONS), source.domain)
    return ec2.render(ec2.find(tree, names[1:]))


def _known(version: str, versions: Sequence[str]) -> str:
    return versions[-1] if version == _LATEST else version


def _split(path: str) -> list[str]:
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return names
