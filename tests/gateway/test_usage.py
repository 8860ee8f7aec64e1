"""What projects used, exact to the second, and what the usage audit did."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from db import instances, usage
from db.database import Connection
from db.schema.base import moment
from novamesh.types.v1.flavor_pb2 import Flavor
from tests.gateway.fake_cloud import CONDUCTOR, FakeCloud, fake_cloud

USAGE = "/os-simple-tenant-usage"
AUDIT = "/os-instance_usage_audit_log"
HOUR = 3600.0


def utc() -> datetime:
    """Now, as the API writes it."""
    return datetime.now(UTC).replace(tzinfo=None)


async def used(cloud: FakeCloud, start: datetime, end: datetime, **how: Any) -> dict[str, Any]:
    """The use of project demo between two moments."""
    path = f"{USAGE}/demo?start={start.isoformat()}&end={end.isoformat()}"
    found: dict[str, Any] = (await cloud.ask("GET", path, 200, **how))["tenant_usage"]
    return found


async def change_flavor(cloud: FakeCloud, server: str, flavor: Flavor, after: timedelta) -> None:
    """What a resize does with the books, so long after the launch."""

    def work(connection: Connection) -> None:
        instance = instances.lock(connection, server)
        instance.flavor.CopyFrom(flavor)
        usage.change_flavor(connection, instance, moment(instance.launched_at) + after)

    await cloud.database.write(work)


async def test_an_instance_from_its_launch_to_its_end(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot("vm1")
        launched = datetime.fromisoformat((await cloud.show(server))["OS-SRV-USG:launched_at"])
        await asyncio.sleep(0.05)
        before = utc()
        found = await used(cloud, launched - timedelta(days=1), before)
        assert found["total_hours"] == pytest.approx((before - launched).total_seconds() / HOUR, abs=1e-9)
        (row,) = found["server_usages"]
        assert row == {
            "instance_id": server,
            "name": "vm1",
            "hours": found["total_hours"],
            "flavor": "m1.tiny",
            "vcpus": 1,
            "memory_mb": 512,
            "local_gb": 1,
            "tenant_id": "demo",
            "started_at": launched.isoformat(timespec="microseconds"),
            "ended_at": None,
            "state": "active",
            "uptime": 0,
        }
        assert found["total_memory_mb_usage"] == pytest.approx(512 * found["total_hours"])
        # Time to come is no use.
        ahead = await used(cloud, launched, utc() + timedelta(days=1))
        assert ahead["total_hours"] < 60 / HOUR
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        await cloud.until_gone(server)
        whole = await used(cloud, launched, utc())
        (row,) = whole["server_usages"]
        ended = datetime.fromisoformat(row["ended_at"])
        assert row["state"] == "terminated"
        assert row["hours"] == pytest.approx((ended - launched).total_seconds() / HOUR, abs=1e-9)
        assert await used(cloud, utc() - timedelta(microseconds=1), utc()) == {}


async def test_what_never_ran_used_nothing(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        await cloud.boot(wait="ERROR")
        assert await used(cloud, utc() - timedelta(hours=1), utc()) == {}


async def test_each_flavor_counts_for_its_own_time(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot("vm1")
        launched = datetime.fromisoformat((await cloud.show(server))["OS-SRV-USG:launched_at"])
        tick = timedelta(milliseconds=1)
        large = Flavor(id="9", name="large", vcpus=4, memory_mb=2048, root_gb=10, ephemeral_gb=10)
        await change_flavor(cloud, server, large, 10 * tick)
        await asyncio.sleep(0.05)
        found = await used(cloud, launched + 4 * tick, launched + 30 * tick)
        # 6 ms small, 20 ms large.
        assert found["total_hours"] * HOUR == pytest.approx(0.026, abs=1e-9)
        assert found["total_vcpus_usage"] * HOUR == pytest.approx(0.006 + 0.020 * 4, abs=1e-9)
        assert found["total_memory_mb_usage"] * HOUR == pytest.approx(512 * 0.006 + 2048 * 0.020, abs=1e-6)
        assert found["total_local_gb_usage"] * HOUR == pytest.approx(0.006 + 20 * 0.020, abs=1e-9)
        (row,) = found["server_usages"]
        assert (row["flavor"], row["vcpus"], row["local_gb"]) == ("large", 4, 20)
        path = f"{USAGE}?start={(launched + 4 * tick).isoformat()}&end={(launched + 30 * tick).isoformat()}"
        listed = await cloud.ask("GET", path, 200, "admin", version="2.1")
        (summed,) = listed["tenant_usages"]
        assert "server_usages" not in summed
        for name in ("hours", "vcpus_usage", "memory_mb_usage", "local_gb_usage"):
            assert summed[f"total_{name}"] == pytest.approx(found[f"total_{name}"])


async def test_a_resize_divides_the_time(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot("vm1")
        launched = datetime.fromisoformat((await cloud.show(server))["OS-SRV-USG:launched_at"])
        await asyncio.sleep(0.05)
        asked = utc()
        await cloud.act(server, "resize", {"flavorRef": "2"})
        await cloud.until(server, "VERIFY_RESIZE")
        done = utc()
        await cloud.act(server, "confirmResize", status=204)
        await cloud.until(server, "ACTIVE")
        await asyncio.sleep(0.05)
        end = utc()
        found = await used(cloud, launched, end)
        assert found["total_hours"] * HOUR == pytest.approx((end - launched).total_seconds(), abs=1e-6)
        # 512 MB until some moment of the resize, then 1024.
        large = found["total_memory_mb_usage"] * HOUR / 512 - (end - launched).total_seconds()
        assert (end - done).total_seconds() <= large <= (end - asked).total_seconds()
        (row,) = found["server_usages"]
        assert (row["flavor"], row["memory_mb"]) == ("m1.small", 1024)


async def test_pages_are_over_instances(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        begin = utc()
        mine = sorted([await cloud.boot() for _ in range(3)])
        theirs = await cloud.boot(token="other")
        window = f"start={begin.isoformat()}&end={utc().isoformat()}"
        every = await cloud.ask("GET", f"{USAGE}?{window}&detailed=1", 200, "admin", version="2.39")
        assert [one["tenant_id"] for one in every["tenant_usages"]] == ["demo", "other"]
        assert [one["instance_id"] for one in every["tenant_usages"][0]["server_usages"]] == mine
        costs = len(cloud.statements)
        same = await cloud.ask("GET", f"{USAGE}?{window}&detailed=True", 200, "admin")
        assert [len(one["server_usages"]) for one in same["tenant_usages"]] == [3, 1]
        pages, path = [], f"{USAGE}?{window}&detailed=1&limit=2"
        while path:
            page = await cloud.ask("GET", path, 200, "admin", version="2.40")
            pages.append(page["tenant_usages"])
            links = page.get("tenant_usages_links", [])
            path = links[0]["href"].partition("/v2.1")[2] if links else ""
        ids = [[row["instance_id"] for one in page for row in one["server_usages"]] for page in pages]
        assert ids == [mine[:2], [mine[2], theirs], []]
        assert len(cloud.statements) <= costs + 1
        whole = sum(one["total_hours"] for page in pages for one in page)
        assert whole == pytest.approx(sum(one["total_hours"] for one in every["tenant_usages"]))
        one = await cloud.ask("GET", f"{USAGE}/demo?{window}&limit=1&marker={mine[0]}", 200)
        assert [row["instance_id"] for row in one["tenant_usage"]["server_usages"]] == [mine[1]]
        assert one["tenant_usage_links"][0]["href"].endswith(f"limit=1&marker={mine[1]}")
        await cloud.ask("GET", f"{USAGE}?marker=nobody", 400, "admin")
        assert (await cloud.ask("GET", f"{USAGE}?{window}&limit=0", 200, "admin"))["tenant_usages"] == []


async def test_who_may_see_it_and_when(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        assert await cloud.ask("GET", f"{USAGE}/demo", 200, "reader") == {"tenant_usage": {}}
        await cloud.ask("GET", f"{USAGE}/demo", 403, "other")
        await cloud.ask("GET", USAGE, 403)
        assert await cloud.ask("GET", USAGE, 200, "admin") == {"tenant_usages": []}
        for wrong in (
            "start=2014-01-02T00:00:00&end=2014-01-01T00:00:00",
            "start=2014-01-02T00:00:00&end=2014-01-02T00:00:00",
            "start=yesterday",
            "end=2014-01-01T00:00:00",
        ):
            answer = await cloud.ask("GET", f"{USAGE}/demo?{wrong}", 400)
            assert "start time" in answer["badRequest"]["message"] or "datetime" in str(answer)
        await cloud.ask("GET", f"{USAGE}?colour=1", 400, "admin", version="2.75")
        await cloud.ask("GET", f"{USAGE}?colour=1", 200, "admin", version="2.74")


async def test_without_an_audit_none_ran(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=2) as cloud:
        await cloud.ask("GET", AUDIT, 403)
        found = (await cloud.ask("GET", AUDIT, 200, "admin"))["instance_usage_audit_logs"]
        ending = datetime.fromisoformat(found.pop("period_ending"))
        assert ending.day == 1
        assert datetime.fromisoformat(found.pop("period_beginning")).day == 1
        assert found == {
            "num_hosts": 2,
            "num_hosts_done": 0,
            "num_hosts_running": 0,
            "num_hosts_not_run": 2,
            "hosts_not_run": ["host1", "host2"],
            "total_instances": 0,
            "total_errors": 0,
            "overall_status": "0 of 2 hosts done. 0 errors.",
            "log": {},
        }
        then = await cloud.ask("GET", f"{AUDIT}/{quote('2014-03-05 10:00:00')}", 200, "admin")
        assert then["instance_usage_audit_log"]["period_ending"] == "2014-03-01 00:00:00"
        assert then["instance_usage_audit_log"]["period_beginning"] == "2014-02-01 00:00:00"
        for wrong in ("2014-03-05", "2014-03-05 10:00:00.x", "0001-01-01 00:00:00"):
            await cloud.ask("GET", f"{AUDIT}/{quote(wrong)}", 400, "admin")


async def test_an_audit_is_written_down(tmp_path: Path) -> None:
    options = replace(
        CONDUCTOR,
        instance_usage_audit=True,
        instance_usage_audit_period="hour",
        usage_audit_interval=0.02,
    )
    async with fake_cloud(tmp_path, hosts=2, conductor=options) as cloud:
        async with asyncio.timeout(10):
            while True:
                found = (await cloud.ask("GET", AUDIT, 200, "admin"))["instance_usage_audit_logs"]
                if found["num_hosts_done"] == 2:
                    break
                await asyncio.sleep(0.02)
        assert found["overall_status"] == "ALL hosts done. 0 errors."
        assert found["hosts_not_run"] == []
        log = found["log"]["host1"]
        assert (log["state"], log["instances"], log["errors"]) == ("DONE", 0, 0)
        assert log["message"].startswith("Instance usage audit ran for host host1, 0 instances in ")
