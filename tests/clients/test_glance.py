"""The Glance driver against a real Glance, and our gateway in front of it."""

from collections.abc import AsyncIterator, Iterator

import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer

from drivers.image import Change, ImageDriver, Listing
from drivers.image.glance import GlanceImageDriver, GlanceOptions
from drivers.testsuite.image import ImageDriverSuite
from gateway.image import ImageApiOptions, build_image_app
from novamesh.failures import UnavailableError
from novamesh.types.v1.image_pb2 import Image
from novamesh.types.v1.image_query_pb2 import ImageQuery
from tests.clients.glance_server import glance_server
from tests.clients.word_identity import build_word_identity
from tests.image_cloud import TOKENS, ImageClient, WordTokens, driver_cloud

pytestmark = pytest.mark.client


@pytest.fixture(scope="module")
def glance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    words = {word: (c.user_id, c.project_id, ",".join(c.roles)) for word, c in TOKENS.items()}
    with glance_server(tmp_path_factory.mktemp("glance"), orjson.dumps(words).decode()) as url:
        yield url


@pytest.fixture
async def options(glance: str) -> AsyncIterator[GlanceOptions]:
    async with TestServer(build_word_identity("image", glance)) as keystone:
        url = str(keystone.make_url("/v3"))
        yield GlanceOptions(endpoint_override=glance, auth_url=url, username="admin", password="admin")


@pytest.fixture
async def driver(options: GlanceOptions) -> AsyncIterator[ImageDriver]:
    driver = GlanceImageDriver(options)
    await driver.start()
    yield driver
    everything = Listing(ImageQuery(all_visibilities=True), all_projects=True)
    for image in (await driver.list_images(everything)).images:
        if image.protected:
            await driver.update(Change(image.id, Image(), ["protected"]))
        await driver.delete(image.id)
    await driver.stop()


class TestGlance(ImageDriverSuite):
    """What every image driver does."""


async def test_a_wrong_password_is_named(options: GlanceOptions) -> None:
    wrong = GlanceOptions(options.endpoint_override, options.auth_url, "admin", "wrong")
    driver = GlanceImageDriver(wrong)
    with pytest.raises(UnavailableError, match=r"refused .* admin"):
        await driver.start()
    await driver.stop()


async def test_a_glance_that_is_away_is_named(options: GlanceOptions) -> None:
    away = GlanceOptions("http://127.0.0.1:1", options.auth_url, "admin", "admin")
    driver = GlanceImageDriver(away)
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 "):
        await driver.start()
    await driver.stop()


async def test_our_api_in_front(options: GlanceOptions, driver: ImageDriver) -> None:
    """The rules of who may do what hold although the driver is an administrator there."""
    # The role starts and stops a driver of its own; `driver` cleans up.
    async with driver_cloud(GlanceImageDriver(options)) as node:
        app = build_image_app(node, WordTokens(), ImageApiOptions())
        async with TestClient(TestServer(app)) as http:
            api = ImageClient(http)
            body = {"name": "x", "disk_format": "raw", "container_format": "bare", "os_type": "linux"}
            made = orjson.loads((await api.call("one", "POST", "/v2/images", json=body)).body)
            assert (made["owner"], made["os_type"], made["status"]) == ("p1", "linux", "queued")
            octets = {"Content-Type": "application/octet-stream"}
            sent = await api.call("one", "PUT", made["file"], data=b"0123456789", headers=octets)
            assert sent.status == 204, sent.body
            assert (await api.call("one", "GET", made["file"])).body == b"0123456789"
            part = await api.call("one", "GET", made["file"], headers={"Range": "bytes=2-4"})
            assert (part.status, part.body) == (206, b"234")
            assert (await api.call("two", "GET", made["self"])).status == 404
            shared = await api.call("one", "POST", made["self"] + "/members", json={"member": "p2"})
            assert shared.status == 200, shared.body
            assert (await api.call("two", "GET", made["file"])).body == b"0123456789"
            assert (await api.call("two", "DELETE", made["self"])).status == 403
            listed = orjson.loads((await api.call("two", "GET", "/v2/images?member_status=all")).body)
            assert [image["id"] for image in listed["images"]] == [made["id"]]
            assert (await api.call("one", "DELETE", made["self"])).status == 204
            assert (await api.call("one", "GET", made["self"])).status == 404
