"""Bad days of a host with real guests: a full disk, a corrupt image, a libvirtd that dies."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.books import balanced, empty
from tests.faults.real_site import RealSite, real_site
from tests.faults.rest import Rest, logged_in, until

pytestmark = [pytest.mark.real, pytest.mark.fault]

MIB = 1024**2
# The file system of guests' disks and the image cache; what isn't written takes no room in its file.
SIZE = "1500M"
# Its one GiB has to do for several flavors' disks, which are hardly written to.
RATIO = {"compute": {"disk_allocation_ratio": 16.0}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSite]:
    """A cloud whose guests' disks and image cache have a small disk of their own."""
    folder = tmp_path_factory.mktemp("real")
    with real_site(folder, RATIO) as site:
        site.cloud.open()
        site.state.create()
        disk = str(folder / "disk")
        site.cloud.run("truncate", "-s", SIZE, disk)
        site.cloud.run("mke2fs", "-q", "-t", "ext4", "-m", "0", disk)
        site.cloud.run("mount", "-o", "loop", disk, str(site.state.instances))
        site.cloud.start()
        yield site
        assert site.cloud.stop() == 0
        assert site.remains() == []


async def emptied(site: RealSite, rest: Rest) -> None:
    """Delete all; nothing is left of any guest."""
    await rest.delete_all()
    await empty(site)
    assert site.domains() == {}
    assert site.folders() == set()
    assert site.taps() == set()


async def upload(rest: Rest, name: str, data: bytes) -> str:
    """A raw image of one's own; its id."""
    record = {"name": name, "disk_format": "raw", "container_format": "bare"}
    made = await rest.ask("POST", f"{rest.images}/images", json=record)
    assert made.status == 201, made
    image = str(made.body["id"])
    stored = await rest.ask(
        "PUT",
        f"{rest.images}/images/{image}/file",
        data=data,
        headers={"Content-Type": "application/octet-stream"},
    )
    assert stored.status == 204, stored
    return image


@contextmanager
def left(site: RealSite, room: int) -> Iterator[None]:
    """The disk full but for so many bytes."""
    blocks, size = site.cloud.run("stat", "-f", "-c", "%a %S", str(site.state.instances)).split()
    filler = str(site.state.instances / "filler")
    site.cloud.run("fallocate", "-l", str(int(blocks) * int(size) - room), filler)
    try:
        yield
    finally:
        site.cloud.run("rm", filler)


async def fails(rest: Rest, **options: object) -> str:
    """The reason why a server can't be built."""
    answer = await rest.create("doomed", **options)
    assert answer.status == 202, answer
    server = await rest.settled(answer.body["server"]["id"])
    assert server["status"] == "ERROR", server
    return str(server["fault"]["message"])


async def test_image_is_corrupt(site: RealSite) -> None:
    """Found by its digest before a guest sees a byte of it; no other host is bothered with it."""
    with site.cloud.entered():
        async with logged_in(site) as rest:
            image = await upload(rest, "rotten", os.urandom(MIB))
            (stored,) = (path for path in site.state.images.rglob(f"*{image}*") if path.is_file())
            with stored.open("r+b") as file:
                file.seek(MIB // 2)
                file.write(b"rot")
            reason = await fails(rest, imageRef=image)
            assert image in reason
            assert "corrupt" in reason
            await emptied(site, rest)
    assert not list(site.state.instances.rglob(f"*{image}*"))


async def test_disk_is_full_in_the_image_cache(site: RealSite) -> None:
    """The server says so, nothing of the image stays, and the next one boots once there is room."""
    with site.cloud.entered():
        async with logged_in(site) as rest:
            image = await upload(rest, "roomy", os.urandom(8 * MIB))
            with left(site, 4 * MIB):
                reason = await fails(rest, imageRef=image)
                assert "no room left" in reason
                found = site.cloud.run("find", str(site.state.instances))
                assert image not in found
                assert ".part" not in found
            await rest.active("lucky", imageRef=image)
            await emptied(site, rest)


async def test_disk_becomes_full_while_the_image_is_converted(site: RealSite) -> None:
    """Found out late, since a qcow2 doesn't say how much of it is data; all the same nothing stays."""
    with site.cloud.entered():
        async with logged_in(site) as rest:
            image = await rest.image("tiny-disk")
            with left(site, 20 * MIB):
                reason = await fails(rest, imageRef=image)
                assert "no room left" in reason
                found = site.cloud.run("find", str(site.state.instances))
                assert image not in found
                assert ".part" not in found
            await emptied(site, rest)


async def test_libvirtd_dies_in_the_middle(site: RealSite) -> None:
    """Guests run on; what was being done is done again once it is back, which the cloud sees to."""
    with site.cloud.entered():
        async with logged_in(site) as rest:
            kept = await rest.active("kept")
            answer = await rest.create("more", min_count=2, max_count=2)
            assert answer.status == 202, answer

            async def being_made() -> bool:
                return len(site.domains()) >= 2

            await until(being_made, "another guest is being made", pause=0.02)
            pid = int((site.libvirtd.run_dir / "libvirtd.pid").read_text())
            os.kill(pid, signal.SIGKILL)
            stopped = await rest.ask("POST", f"/servers/{kept}/action", json={"os-stop": None})
            assert stopped.status == 202, stopped

            async def back() -> bool:
                # Empty while libvirtd makes it anew.
                return (site.libvirtd.run_dir / "libvirtd.pid").read_text().strip() not in ("", str(pid))

            await until(back, "libvirtd runs again")

            async def done() -> bool:
                servers = await rest.servers()
                return all(
                    one["OS-EXT-STS:task_state"] is None and one["status"] in ("ACTIVE", "ERROR", "SHUTOFF")
                    for one in servers.values()
                )

            await until(done, "everything has ended")
            servers = await rest.servers()
            assert servers[kept]["status"] == "SHUTOFF", servers[kept]
            for server in servers.values():
                assert server["status"] != "ERROR" or server["fault"]["message"]

            async def enabled() -> bool:
                async with logged_in(site, "admin") as admin:
                    listed = await admin.ask("GET", "/os-services?binary=nova-compute")
                return all(one["status"] == "enabled" for one in listed.body["services"])

            await until(enabled, "the host takes guests again")
            started = await rest.ask("POST", f"/servers/{kept}/action", json={"os-start": None})
            assert started.status == 202, started
            assert (await rest.settled(kept))["status"] == "ACTIVE"
            await rest.active("new")
            await balanced(site)
            await emptied(site, rest)
