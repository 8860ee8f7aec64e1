"""Every microversion: what it changed is so from it on, and was not so before."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.compute.history import HISTORY, MAXIMUM
from tests.gateway.microversions import ALIKE, ANSWERED, SHOWN, Alike, Answered, Shown
from tests.gateway.response_shapes import FOR_ADMINS_1, SERVER_1
from tests.gateway.scene import Scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJhsMoZ7eNmSh1TMCKbQRHqjbkiSWQoOBkQ9oPMPmFZK me"


def known(row: Answered) -> str:
    """A name of a row, for reports."""
    action = next(iter(row.body)) if row.path.endswith("/action") else ""
    return f"2.{row.minor} {row.method} {row.path} {action}".rstrip()


@pytest.mark.parametrize("row", ANSWERED, ids=known)
async def test_requests_answered_otherwise(scene: Scene, row: Answered) -> None:
    for minor, status, says in (
        (row.minor - 1, row.before, row.before_says),
        (row.minor, row.after, row.after_says),
    ):
        answer = await scene.ask(row.method, row.path, status, minor, row.token, json=row.body)
        if says:
            (fault,) = answer.values()
            assert says in fault["message"]


def found(answer: Any, field: tuple[str | int, ...]) -> bool:
    """Whether an answer has a field."""
    *way, last = field
    for step in way:
        if isinstance(step, str) and step not in answer:
            return False
        answer = answer[step]
    return last in answer


def shown_name(row: Shown) -> str:
    """A name of a row, for reports."""
    return f"2.{row.minor} {'.'.join(map(str, row.field))}"


@pytest.mark.parametrize("row", SHOWN, ids=shown_name)
async def test_fields_come_and_go(scene: Scene, row: Shown) -> None:
    before = await scene.get(row.path, row.minor - 1, row.token)
    assert found(before, row.field) is row.gone
    after = await scene.get(row.path, row.minor, row.token)
    assert found(after, row.field) is not row.gone


@pytest.mark.parametrize("token", ["demo", "admin"])
async def test_a_server_has_just_what_the_changes_say(scene: Scene, token: str) -> None:
    fields = set(SERVER_1) | (set(FOR_ADMINS_1) if token == "admin" else set())
    for minor in range(1, MAXIMUM + 1):
        fields |= {
            str(row.field[1])
            for row in SHOWN
            if row.minor == minor and row.path == "/servers/{server}" and row.token in ("demo", token)
        }
        server = (await scene.get("/servers/{server}", minor, token))["server"]
        assert server.keys() == fields, f"2.{minor}"
        path = "/servers/detail?name=^vm$" + ("&all_tenants=1" if token == "admin" else "")
        (listed,) = (await scene.get(path, minor, token))["servers"]
        assert listed.keys() == fields - {"server_groups"}, f"2.{minor}"


@pytest.mark.parametrize("row", ALIKE)
async def test_what_this_cloud_lacks_is_answered_alike(scene: Scene, row: Alike) -> None:
    before = await scene.ask(row.method, row.path, row.status, row.minor - 1, "admin", json=row.body)
    after = await scene.ask(row.method, row.path, row.status, row.minor, "admin", json=row.body)
    if row.status == 200:
        # Times of reports go on meanwhile.
        assert _shape(before) == _shape(after)
    else:
        assert before == after


def _shape(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: _shape(value) for name, value in answer.items()}
    return [_shape(value) for value in answer] if isinstance(answer, list) else None


# What needs more than this cloud of one host, and the test that has it.
ELSEWHERE = {
    65: ("test_server_migrations.py", "test_others_wait_for_their_turn_and_may_be_aborted_meanwhile"),
    95: ("test_server_evacuate.py", "test_off_stays_off_and_newer_versions_leave_it_off"),
}

Check = Callable[[Scene, int, int], Awaitable[None]]
CHECKS: dict[int, Check] = {}


def change(minor: int) -> Callable[[Check], Check]:
    """Name the microversion that a check is about; it is given the one before, and it."""

    def put(check: Check) -> Check:
        CHECKS[minor] = check
        return check

    return put


@pytest.mark.parametrize("minor", (1, 2, 5, 18, 21, 27, 28, 34, 45, 46, 53, 75, 83, 92, 102))
async def test_the_rest(scene: Scene, minor: int) -> None:
    await CHECKS[minor](scene, minor - 1, minor)


async def test_every_microversion_has_a_test() -> None:
    tested = {row.minor for row in ANSWERED} | {row.minor for row in SHOWN} | {row.minor for row in ALIKE}
    tested |= CHECKS.keys()
    for minor, (file, test) in ELSEWHERE.items():
        text = (Path(__file__).parent / file).read_text()
        assert f"async def {test}(" in text
        assert f"2.{minor}" in text
        tested.add(minor)
    untested = [f"2.{row.minor} {row.summary}" for row in HISTORY if row.minor not in tested]
    assert not untested
    assert max(tested) == MAXIMUM


@change(1)
async def _begin(scene: Scene, before: int, at: int) -> None:
    await scene.ask("GET", "/servers", 406, before)
    await scene.get("/servers", at)


@change(2)
async def _types_of_keypairs(scene: Scene, before: int, at: int) -> None:
    body = {"keypair": {"name": "new"}}
    typed = {"keypair": {"name": "new", "type": "ssh"}}
    assert "type" not in (await scene.ask("POST", "/os-keypairs", 200, before, json=body))["keypair"]
    await scene.ask("POST", "/os-keypairs", 400, before, json=typed)
    await scene.ask("DELETE", "/os-keypairs/new", 202, before)
    made = await scene.ask("POST", "/os-keypairs", 201, at, json=typed)
    assert made["keypair"]["type"] == "ssh"
    await scene.ask("DELETE", "/os-keypairs/new", 204, at)


@change(5)
async def _ip6_for_users(scene: Scene, before: int, at: int) -> None:
    assert (await scene.get("/servers?ip6=fe80", before))["servers"]
    assert not (await scene.get("/servers?ip6=fe80", at))["servers"]


@change(18)
async def _project_optional(scene: Scene, before: int, at: int) -> None:
    for minor in (before, at):
        with_project = await scene.get("/demo/servers", minor)
        assert len(with_project["servers"]) == len((await scene.get("/servers", minor))["servers"])


@change(21)
async def _actions_of_deleted(scene: Scene, before: int, at: int) -> None:
    server = await scene.cloud.boot("short-lived")
    await scene.cloud.ask("DELETE", f"/servers/{server}", 204)
    await scene.cloud.until_gone(server)
    path = f"/servers/{server}/os-instance-actions"
    await scene.ask("GET", path, 404, before)
    assert len((await scene.get(path, at))["instanceActions"]) == 2


@change(27)
@change(46)
async def _headers(scene: Scene, before: int, at: int) -> None:
    for minor in (before, at):
        headers = {"X-Auth-Token": "demo", "OpenStack-API-Version": f"compute 2.{minor}"}
        async with scene.cloud.client.get("/v2.1/servers", headers=headers) as response:
            assert response.headers["OpenStack-API-Version"] == f"compute 2.{minor}"
            assert response.headers["X-OpenStack-Request-ID"] == response.headers["X-Compute-Request-Id"]


@change(28)
async def _cpu_info(scene: Scene, before: int, at: int) -> None:
    path = "/os-hypervisors/{host_number}"
    assert isinstance((await scene.get(path, before, "admin"))["hypervisor"]["cpu_info"], str)
    assert isinstance((await scene.get(path, at, "admin"))["hypervisor"]["cpu_info"], dict)


@change(34)
async def _checks_of_live_migration(scene: Scene, before: int, at: int) -> None:
    # There is no other host: first the answer says so, then it doesn't wait for that.
    body = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
    for minor, status in ((before, 400), (at, 202)):
        await scene.ask("POST", "/servers/{server}/action", status, minor, "admin", json=body)
        await scene.cloud.until(scene.ids["server"], "ACTIVE")


@change(45)
async def _image_id(scene: Scene, before: int, at: int) -> None:
    for action, given in (
        ("createImage", {"name": "snapshot"}),
        ("createBackup", {"name": "backup", "backup_type": "daily", "rotation": 1}),
    ):
        for minor, has_body in ((before, False), (at, True)):
            await scene.cloud.until(scene.ids["server"], "ACTIVE")
            body = {action: given}
            answer = await scene.ask("POST", "/servers/{server}/action", 202, minor, "admin", json=body)
            assert (list(answer) == ["image_id"]) if has_body else (answer is None)
    await scene.cloud.until(scene.ids["server"], "ACTIVE")


@change(53)
async def _ids(scene: Scene, before: int, at: int) -> None:
    for path, name in (("/os-services", "services"), ("/os-hypervisors", "hypervisors")):
        assert isinstance((await scene.get(path, before, "admin"))[name][0]["id"], int)
        assert len((await scene.get(path, at, "admin"))[name][0]["id"]) == 36


@change(75)
async def _swap_and_updates(scene: Scene, before: int, at: int) -> None:
    assert (await scene.get("/flavors/1", before))["flavor"]["swap"] == ""
    assert (await scene.get("/flavors/1", at))["flavor"]["swap"] == 0
    body = {"server": {"description": "d"}}
    brief = (await scene.ask("PUT", "/servers/{server}", 200, before, json=body))["server"]
    whole = (await scene.ask("PUT", "/servers/{server}", 200, at, json=body))["server"]
    shown = (await scene.get("/servers/{server}", at))["server"]
    assert "OS-EXT-STS:vm_state" not in brief
    assert whole.keys() == shown.keys()


@change(83)
async def _filters_for_users(scene: Scene, before: int, at: int) -> None:
    for query in ("vm_state=error", "key_name=none", "availability_zone=elsewhere", "config_drive=true"):
        assert (await scene.get(f"/servers?{query}", before))["servers"]
        assert not (await scene.get(f"/servers?{query}", at))["servers"]


@change(92)
async def _imported_keypairs(scene: Scene, before: int, at: int) -> None:
    body = {"keypair": {"name": "me@home.example", "public_key": KEY}}
    refused = await scene.ask("POST", "/os-keypairs", 400, before, json=body)
    assert "name" in refused["badRequest"]["message"]
    await scene.ask("POST", "/os-keypairs", 201, at, json=body)


@change(102)
async def _name_of_flavors(scene: Scene, before: int, at: int) -> None:
    await scene.ask("GET", "/flavors?name=m1.small", 400, before)
    (flavor,) = (await scene.get("/flavors?name=m1.small", at))["flavors"]
    assert flavor["name"] == "m1.small"
