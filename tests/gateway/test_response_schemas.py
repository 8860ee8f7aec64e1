"""Answers have the shapes that Nova documents, field by field."""

import jsonschema_rs
import pytest

from gateway.compute.history import MAXIMUM
from tests.gateway.response_schemas import CHECKED, Checked
from tests.gateway.scene import Scene

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("row", CHECKED, ids=lambda row: f"{row.path} {row.token}")
async def test_an_answer_has_its_shape(scene: Scene, row: Checked) -> None:
    for minor, schema in ((1, row.first), (MAXIMUM, row.last)):
        if schema is None:
            await scene.ask("GET", row.path, 404, minor, row.token)
            continue
        answer = await scene.get(row.path, minor, row.token)
        errors = [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in jsonschema_rs.Draft7Validator(schema).iter_errors(answer)
        ]
        assert not errors, f"2.{minor}: {errors}"
