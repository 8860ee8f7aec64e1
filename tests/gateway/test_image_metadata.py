"""The images proxy's metadata, with a real image service."""

from pathlib import Path

from tests.gateway.fake_cloud import FakeCloud, fake_cloud

VERSION = "2.38"


async def test_items_come_and_go(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        path = f"/images/{await cloud.add_image('mine', os='one')}/metadata"
        assert await items(cloud, path) == {"os": "one"}
        body = {"metadata": {"os": "two", "arch": "x"}}
        answer = await cloud.ask("POST", path, 200, "admin", VERSION, json=body)
        assert answer == {"metadata": {"os": "two", "arch": "x"}}
        answer = await cloud.ask("PUT", path + "/os", 200, "admin", VERSION, json={"meta": {"os": "three"}})
        assert answer == {"meta": {"os": "three"}}
        assert await cloud.ask("GET", path + "/os", 200, "admin", VERSION) == answer
        await cloud.ask("DELETE", path + "/os", 204, "admin", VERSION)
        assert await items(cloud, path) == {"arch": "x"}
        await cloud.ask("PUT", path, 200, "admin", VERSION, json={"metadata": {"b": "1"}})
        assert await items(cloud, path) == {"b": "1"}


async def test_what_is_refused(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        path = f"/images/{cloud.image}/metadata"
        meta = {"meta": {"b": "1"}}
        await cloud.ask("PUT", path + "/a", 400, "admin", VERSION, json=meta)
        await cloud.ask("DELETE", path + "/a", 404, "admin", VERSION)
        await cloud.ask("GET", path + "/a", 404, "admin", VERSION)
        # Everybody sees the image, and only its owner changes it.
        await cloud.ask("PUT", path + "/b", 403, "demo", VERSION, json=meta)
        await cloud.ask("POST", path, 400, "admin", VERSION, json={"metadata": {"a": 1}})
        many = {"metadata": {str(n): "" for n in range(129)}}
        answer = await cloud.ask("PUT", path, 403, "admin", VERSION, json=many)
        assert answer["forbidden"]["message"] == "Image metadata limit exceeded"
        nowhere = "/images/11111111-2222-4333-8444-555555555555/metadata"
        await cloud.ask("PUT", nowhere + "/b", 404, "demo", VERSION, json=meta)
        await cloud.ask("GET", path, 404, "demo", "2.39")


async def items(cloud: FakeCloud, path: str) -> object:
    """All of them."""
    return (await cloud.ask("GET", path, 200, "admin", VERSION))["metadata"]
