"""The power actions through the whole cloud."""

from pathlib import Path

from tests.gateway.fake_cloud import fake_cloud


async def test_power_from_boot_to_delete(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        for action, given, status in (
            ("os-stop", None, "SHUTOFF"),
            ("os-start", None, "ACTIVE"),
            ("reboot", {"type": "SOFT"}, "ACTIVE"),
            ("pause", None, "PAUSED"),
            ("unpause", None, "ACTIVE"),
            ("suspend", None, "SUSPENDED"),
            ("resume", None, "ACTIVE"),
        ):
            await cloud.act(server, action, given)
            await cloud.until(server, status)
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        await cloud.until_gone(server)
