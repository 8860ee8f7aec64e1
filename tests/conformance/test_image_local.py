"""The conformance suite on the local image driver."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers.image import ImageDriver
from drivers.testsuite.image import ImageDriverSuite
from tests.image_cloud import image_cloud


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[ImageDriver]:
    async with image_cloud(tmp_path) as cloud:
        yield cloud.driver


class TestLocal(ImageDriverSuite):
    """Files and records."""
