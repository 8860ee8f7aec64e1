"""What a resize counts in the quota and in the usage when others come between, or its way back fails."""

from dataclasses import replace
from pathlib import Path

from sqlalchemy import select

from db.schema.usage import usage_periods
from novamesh.failures import NotSupportedError, UnavailableError
from tests.gateway.fake_cloud import CONDUCTOR, fake_cloud


async def test_limits_are_read_under_the_lock_of_the_counters(tmp_path: Path) -> None:
    """Whoever lowers a limit takes that lock, too: a limit that was read before it may have sunk since."""
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "resize", {"flavorRef": "2"})
        counters = [at for at, sql in enumerate(cloud.statements) if "FROM quota_usages" in sql]
        limits = [at for at, sql in enumerate(cloud.statements) if "FROM quotas" in sql]
        assert counters
        assert limits
        assert min(limits) > min(counters)


async def test_usage_says_the_new_flavor_when_the_way_back_fails(tmp_path: Path) -> None:
    options = replace(CONDUCTOR, allow_resize_to_same_host=False, operation_attempts=2)
    async with fake_cloud(tmp_path, hosts=2, conductor=options) as cloud:
        server = await cloud.boot()
        source = (await cloud.show(server))["OS-EXT-SRV-ATTR:host"]
        other = {"host1": "host2", "host2": "host1"}[source]
        there = cloud.drivers[other].hypervisor
        there.fail("finish_resize", NotSupportedError("resize", "No."))
        there.fail("revert_resize", UnavailableError("libvirt", "away"), times=99)
        await cloud.act(server, "resize", {"flavorRef": "2"})
        shown = await cloud.until(server, "ERROR")
        assert shown["OS-EXT-SRV-ATTR:host"] == other
        assert shown["flavor"]["original_name"] == "m1.small"
        columns = (usage_periods.c.flavor_name, usage_periods.c.began, usage_periods.c.ended)
        found = await cloud.database.read(
            lambda c: c.execute(select(*columns).order_by(usage_periods.c.number)).all()
        )
        assert [row.flavor_name for row in found] == ["m1.tiny", "m1.small"]
        assert [row.ended for row in found] == [found[1].began, None]
