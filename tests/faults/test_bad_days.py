"""What a user meets on a bad day, through the REST APIs: a clear answer, and nothing lost or leaked."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.faults.books import balanced, empty
from tests.faults.processes import Processes, fake_cloud, qcow2
from tests.faults.rest import Answer, Rest, logged_in, until

pytestmark = pytest.mark.fault

QUOTA = 10


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """`novamesh up --fake` with Nova's own quotas, for the tests of this file."""
    with fake_cloud(tmp_path_factory.mktemp("bad")) as cloud:
        yield cloud


@pytest.fixture
async def demo(cloud: Processes) -> AsyncIterator[Rest]:
    """A user, whose servers are deleted in the end; nothing of them is left then."""
    async with logged_in(cloud, "demo") as rest:
        yield rest
        await rest.delete_all()
        await empty(cloud)


@pytest.fixture
async def admin(cloud: Processes) -> AsyncIterator[Rest]:
    """The administrator."""
    async with logged_in(cloud, "admin") as rest:
        yield rest
        await rest.delete_all()


# Credentials


async def test_wrong_password(demo: Rest) -> None:
    answer = await demo.authenticate("demo", "not the password")
    assert answer.status == 401
    assert "not the password" not in str(answer.body)
    assert answer.message
    nobody = await demo.authenticate("nobody", "not the password")
    # Whether there is such a user isn't told.
    assert (nobody.status, nobody.message) == (401, answer.message)


async def test_token_that_has_expired(demo: Rest) -> None:
    """A token of an application credential that ends soon ends with it."""
    ends = datetime.now(UTC) + timedelta(seconds=3)
    given = {"name": "short", "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%S.%f")}
    me = (await demo.ask("GET", f"{demo.identity}/auth/tokens", headers={"X-Subject-Token": demo.token})).body
    made = await demo.ask(
        "POST",
        f"{demo.identity}/users/{me['token']['user']['id']}/application_credentials",
        json={"application_credential": given},
    )
    assert made.status == 201, made
    credential = made.body["application_credential"]
    how = {"id": credential["id"], "secret": credential["secret"]}
    auth = {"identity": {"methods": ["application_credential"], "application_credential": how}}
    token = await demo.ask("POST", f"{demo.identity}/auth/tokens", json={"auth": auth})
    assert token.status == 201, token
    short = Rest(demo.session, demo.cloud, token.headers["X-Subject-Token"])
    assert (await short.ask("GET", "/servers")).status == 200

    async def refused() -> bool:
        return (await short.ask("GET", "/servers")).status == 401

    await until(refused, "the token has expired")
    assert datetime.now(UTC) >= ends - timedelta(seconds=1)
    says_log_in(await short.ask("GET", "/servers"))
    says_log_in(await short.ask("DELETE", "/servers/00000000-0000-0000-0000-000000000000"))
    assert (await short.ask("GET", f"{short.images}/images")).status == 401


async def test_token_that_was_revoked(demo: Rest) -> None:
    other = Rest(demo.session, demo.cloud)
    other.token = (await demo.authenticate("demo")).headers["X-Subject-Token"]
    assert (await other.ask("GET", "/servers")).status == 200
    revoked = await demo.ask(
        "DELETE", f"{demo.identity}/auth/tokens", headers={"X-Subject-Token": other.token}
    )
    assert revoked.status == 204, revoked

    async def refused() -> bool:
        return (await other.ask("GET", "/servers")).status == 401

    await until(refused, "the token is refused")
    says_log_in(await other.ask("GET", "/servers"))
    assert (await other.ask("GET", f"{other.images}/images")).status == 401
    assert (await demo.ask("GET", "/servers")).status == 200


async def test_no_token_and_nonsense(demo: Rest) -> None:
    says_log_in(await Rest(demo.session, demo.cloud).ask("GET", "/servers"))
    says_log_in(await Rest(demo.session, demo.cloud, "gibberish").ask("GET", "/servers"))


def says_log_in(answer: Answer) -> None:
    assert answer.status == 401
    assert "WWW-Authenticate" in answer.headers or "Www-Authenticate" in answer.headers
    assert "authentication" in str(answer.body).lower()


async def test_another_projects_server(demo: Rest, admin: Rest) -> None:
    """What isn't one's own isn't there, whatever one asks of it."""
    theirs = await admin.active("theirs")
    asked = [
        await demo.ask("GET", f"/servers/{theirs}"),
        await demo.ask("PUT", f"/servers/{theirs}", json={"server": {"name": "mine"}}),
        await demo.ask("DELETE", f"/servers/{theirs}"),
        await demo.ask("POST", f"/servers/{theirs}/action", json={"os-stop": None}),
        await demo.ask("POST", f"/servers/{theirs}/action", json={"os-getConsoleOutput": {}}),
        await demo.ask("GET", f"/servers/{theirs}/metadata"),
        await demo.ask("GET", f"/servers/{theirs}/os-instance-actions"),
        await demo.ask("GET", "/servers/00000000-0000-0000-0000-000000000000"),
    ]
    for answer in asked:
        assert answer.status == 404, answer
        assert "itemNotFound" in answer.body
    # And neither listed nor touched.
    assert theirs not in await demo.servers()
    assert (await admin.settled(theirs))["status"] == "ACTIVE"
    assert (await admin.settled(theirs))["name"] == "theirs"


# Room


async def test_quota_exceeded(demo: Rest) -> None:
    answer = await demo.create("many", min_count=QUOTA + 1)
    assert answer.status == 403
    assert "instances" in answer.message
    for number in (str(QUOTA + 1), "0", str(QUOTA)):
        assert number in answer.message
    # m1.xlarge has 8 VCPUs and 16 GiB: three are more cores and two more memory than there is room for.
    answer = await demo.create("large", flavorRef="5", min_count=4)
    assert answer.status == 403
    assert "cores" in answer.message
    assert "32" in answer.message and "20" in answer.message
    assert not await demo.servers()


async def test_many_creates_at_once_fill_the_quota_exactly(demo: Rest) -> None:
    await demo.image("tiny")
    answers = await asyncio.gather(*(demo.create(f"vm-{number}") for number in range(50)))
    accepted = [answer for answer in answers if answer.status == 202]
    refused = [answer for answer in answers if answer.status == 403]
    assert len(accepted) == QUOTA
    assert len(refused) == 50 - QUOTA
    assert all("Quota exceeded for instances" in answer.message for answer in refused)
    books = await balanced(demo.cloud)
    assert len(books.active()) == QUOTA
    # A deleted one's place is free again, once for each.
    first = accepted[0].body["server"]["id"]
    await demo.ask("DELETE", f"/servers/{first}")

    async def gone() -> bool:
        return (await demo.ask("GET", f"/servers/{first}")).status == 404

    await until(gone, "the first is deleted")
    again = await asyncio.gather(*(demo.create(f"again-{number}") for number in range(5)))
    assert sorted(answer.status for answer in again) == [202, 403, 403, 403, 403]


async def test_no_valid_host(demo: Rest, admin: Rest) -> None:
    """The server is in ERROR, and its fault names the filter that left no host."""
    flavor = {"name": "vast", "id": "vast", "ram": 512, "vcpus": 1, "disk": 10_000_000}
    made = await admin.ask("POST", "/flavors", json={"flavor": flavor})
    assert made.status == 200, made
    try:
        answer = await demo.create("nowhere", flavorRef="vast")
        assert answer.status == 202, answer
        server = await demo.settled(answer.body["server"]["id"])
    finally:
        await admin.ask("DELETE", "/flavors/vast")
    assert server["status"] == "ERROR"
    assert server["fault"]["code"] == 500
    assert server["fault"]["message"].startswith("No valid host was found")
    assert "DiskFilter left 0 of 1" in server["fault"]["message"]
    books = await balanced(demo.cloud)
    assert books.claimed == (0, 0, 0, 0)
    # Nothing can be done with it but to delete it.
    refused = await demo.ask("POST", f"/servers/{server['id']}/action", json={"os-start": None})
    assert refused.status == 409, refused


async def test_address_pool_is_empty(demo: Rest, admin: Rest) -> None:
    """Those that get an address run; the others say why not; a freed address is given out again."""
    network = {"label": "small", "cidr": "10.99.0.0/29"}
    made = await admin.ask(
        "POST", "/os-networks", json={"network": network}, headers={"OpenStack-API-Version": "compute 2.1"}
    )
    assert made.status == 200, made
    network_id = made.body["network"]["id"]
    wanted = {"networks": [{"uuid": network_id}]}
    answer = await demo.create("crowd", min_count=8, max_count=8, **wanted)
    assert answer.status == 202, answer
    books = await balanced(demo.cloud)
    errors = books.errors()
    # Of the eight addresses two are no host's, one is the gateway's.
    assert (len(books.active()), len(errors)) == (5, 3)
    for error in errors:
        assert error.fault.message == "Network small has no free addresses left."
    addresses = {
        one["addr"]
        for server in (await demo.servers()).values()
        for one in server["addresses"].get("small", [])
    }
    assert len(addresses) == 5
    await demo.ask("DELETE", f"/servers/{sorted(books.active())[0]}")

    async def room() -> bool:
        return len((await demo.servers()).keys()) == 7

    await until(room, "one is deleted")
    await demo.active("late", **wanted)
    await demo.delete_all()
    deleted = await admin.ask(
        "DELETE", f"/os-networks/{network_id}", headers={"OpenStack-API-Version": "compute 2.1"}
    )
    assert deleted.status == 202, deleted


# Images


async def upload(rest: Rest, name: str, data: bytes, **properties: Any) -> Answer:
    """An image with data; the answer to the upload."""
    record = {"name": name, "disk_format": "raw", "container_format": "bare", **properties}
    made = await rest.ask("POST", f"{rest.images}/images", json=record)
    assert made.status == 201, made
    rest.named[name] = made.body["id"]
    return await rest.ask(
        "PUT",
        f"{rest.images}/images/{made.body['id']}/file",
        data=data,
        headers={"Content-Type": "application/octet-stream"},
    )


async def test_image_larger_than_the_flavors_disk(demo: Rest, tmp_path: Path) -> None:
    """Refused before anything is made: by its size on the disk that it holds, and by its own wish."""
    disk = qcow2(tmp_path / "large.qcow2", "2G")
    assert (await upload(demo, "large", disk.read_bytes(), disk_format="qcow2")).status == 204
    assert (await upload(demo, "wishes", b"x" * 512, min_disk=2)).status == 204
    for name in ("large", "wishes"):
        answer = await demo.create("too-large", imageRef=await demo.image(name))
        assert answer.status == 400, answer
        assert "Flavor's disk is" in answer.message
        assert str(2 * 1024**3) in answer.message
    assert not await demo.servers()


async def test_image_that_is_not_what_it_says(demo: Rest) -> None:
    answer = await upload(demo, "liar", b"QFI\xfb" + b"\0" * 508)
    assert answer.status == 415, answer
    assert "qcow2" in str(answer.body)
    # Nothing was stored, so nothing boots.
    refused = await demo.create("from-nothing", imageRef=await demo.image("liar"))
    assert refused.status == 400
    assert "is not active" in refused.message
    stored = demo.cloud.settings.glance_store.filesystem_store_datadir
    assert not list(stored.rglob(f"*{demo.named['liar']}*"))
