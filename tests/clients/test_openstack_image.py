"""The `openstack image` commands against the Image API."""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestServer

from tests.clients.word_identity import build_word_identity
from tests.image_cloud import image_cloud

pytestmark = pytest.mark.client


@dataclass
class Openstack:
    """The command line client, logged in as a word of tests/image_cloud.py."""

    identity: str

    async def __call__(self, user: str, *arguments: str, fails: bool = False) -> Any:
        """Run one command; its JSON output, or what it complained of."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "OS_AUTH_URL": self.identity,
            "OS_USERNAME": user,
            "OS_PASSWORD": user,
            "OS_PROJECT_NAME": "any",
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_IDENTITY_API_VERSION": "3",
        }
        program = Path(sys.executable).with_name("openstack")
        assert program.exists(), "python-openstackclient is missing: pip install -e .[client]"
        process = await asyncio.create_subprocess_exec(
            str(program),
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, complaint = await process.communicate()
        if fails:
            assert process.returncode, out
            return complaint.decode()
        assert process.returncode == 0, complaint.decode()
        return orjson.loads(out) if out.strip() else None


@pytest.fixture
async def openstack(tmp_path: Path) -> AsyncIterator[Openstack]:
    async with image_cloud(tmp_path) as cloud, TestServer(cloud.app()) as images:
        identity = build_word_identity("image", str(images.make_url("")).rstrip("/"))
        async with TestServer(identity) as keystone:
            yield Openstack(str(keystone.make_url("/v3")))


async def test_an_images_life(openstack: Openstack, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "disk").write_bytes(data)
    made = await openstack(
        "one", "image", "create", "--file", str(tmp_path / "disk"), "--disk-format", "raw",
        "--container-format", "bare", "--min-disk", "1", "--property", "os_type=linux", "--tag", "t",
        "-f", "json", "tiny",
    )  # fmt: skip
    shown = await openstack("one", "image", "show", "-f", "json", "tiny")
    assert shown["id"] == made["id"]
    assert (shown["status"], shown["size"], shown["min_disk"]) == ("active", len(data), 1)
    assert shown["checksum"] == hashlib.md5(data).hexdigest()
    assert shown["properties"]["os_type"] == "linux"
    assert shown["tags"] == ["t"]
    await openstack("one", "image", "set", "--property", "hw_disk_bus=virtio", "--name", "small", "tiny")
    listed = await openstack("one", "image", "list", "--long", "-f", "json")
    assert [(i["Name"], i["Status"], i["Visibility"]) for i in listed] == [("small", "active", "shared")]
    await openstack("one", "image", "unset", "--property", "os_type", "--tag", "t", "small")
    shown = await openstack("one", "image", "show", "-f", "json", "small")
    assert "os_type" not in shown["properties"]
    assert shown["properties"]["hw_disk_bus"] == "virtio"
    assert shown["tags"] == []
    await openstack("one", "image", "save", "--file", str(tmp_path / "copy"), "small")
    assert (tmp_path / "copy").read_bytes() == data
    await openstack("one", "image", "delete", "small")
    complaint = await openstack("one", "image", "show", "small", fails=True)
    assert "small" in complaint


async def test_sharing(openstack: Openstack, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"x" * 100)
    made = await openstack(
        "one", "image", "create", "--file", str(tmp_path / "disk"), "--shared", "-f", "json", "mine"
    )
    await openstack("one", "image", "add", "project", "-f", "json", "mine", "p2")
    members = await openstack("one", "image", "member", "list", "-f", "json", "mine")
    assert [(m["Member ID"], m["Status"]) for m in members] == [("p2", "pending")]
    await openstack("two", "image", "set", "--accept", made["id"])
    assert [i["Name"] for i in await openstack("two", "image", "list", "--shared", "-f", "json")] == ["mine"]
    await openstack("one", "image", "remove", "project", "mine", "p2")
    assert await openstack("two", "image", "list", "-f", "json") == []
    complaint = await openstack("one", "image", "set", "--public", "mine", fails=True)
    assert "403" in complaint
    await openstack("admin", "image", "set", "--public", made["id"])
    assert [i["Name"] for i in await openstack("two", "image", "list", "-f", "json")] == ["mine"]
    await openstack("one", "image", "set", "--deactivate", "mine")
    # The client takes the refusal's page for data, and sees that its digest is wrong.
    await openstack("two", "image", "save", "--file", str(tmp_path / "copy"), "mine", fails=True)
