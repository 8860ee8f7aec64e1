"""A whole cloud of real guests, killed in the middle of boots and started again."""

from pathlib import Path

import pytest

from tests.faults.books import balanced, empty
from tests.faults.real_site import RealSite, real_site
from tests.faults.rest import logged_in, until

pytestmark = [pytest.mark.real, pytest.mark.fault]


async def test_killed_while_real_guests_boot(tmp_path: Path) -> None:
    with real_site(tmp_path) as site:
        site.cloud.start()
        rules = site.rules()
        with site.cloud.entered():
            async with logged_in(site) as rest:
                answer = await rest.create("real", min_count=3, max_count=3)
                assert answer.status == 202, answer

            async def one_is_there() -> bool:
                return bool(site.domains())

            await until(one_is_there, "the first guest is being made", pause=0.02)
            site.cloud.kill()
            site.cloud.start()
            async with logged_in(site) as rest:
                books = await balanced(site)
                assert len(books.instances) == 3
                agrees(site, books.active())
                await rest.delete_all()
                await empty(site)
        agrees(site, set())
        assert site.rules() == rules
        assert site.cloud.stop() == 0
        assert site.remains() == []


def agrees(site: RealSite, active: set[str]) -> None:
    """The host has what these instances need, and nothing else."""
    assert set(site.domains()) == active
    assert site.folders() == active
    assert len(site.taps()) == len(active)
    assert len(site.running("qemu-system")) == len(active)
    assert len(site.running("dnsmasq")) <= 2, site.running("dnsmasq")
