"""A furnished cloud for a whole module."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.gateway.scene import Scene, furnished_cloud


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """See tests.gateway.scene. Tests that use it are marked `asyncio(loop_scope="module")`."""
    async with furnished_cloud(tmp_path_factory.mktemp("cloud")) as made:
        yield made
