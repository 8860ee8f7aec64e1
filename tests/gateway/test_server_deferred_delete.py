"""Deferred delete through the whole cloud: what users and administrators see of it."""

from dataclasses import replace
from pathlib import Path

from tests.gateway.fake_cloud import CONDUCTOR, fake_cloud

KEPT = replace(CONDUCTOR, reclaim_instance_interval=3600)


async def test_deleted_seen_restored_and_deleted_for_good(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, conductor=KEPT) as cloud:
        server = await cloud.boot("web")
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        await cloud.until(server, "SOFT_DELETED")
        assert (await cloud.show(server))["OS-EXT-STS:vm_state"] == "soft-delete"

        async def listed(query: str, token: str = "demo") -> list[str]:
            answer = await cloud.ask("GET", f"/servers?{query}", 200, token, "2.74")
            return [one["id"] for one in answer["servers"]]

        assert await listed("") == []
        # A status alone doesn't find them, as in Nova: deleted has to be asked for too.
        assert await listed("all_tenants=1&status=SOFT_DELETED", "admin") == []
        assert await listed("all_tenants=1&deleted=1", "admin") == [server]
        assert await listed("all_tenants=1&deleted=1&status=SOFT_DELETED", "admin") == [server]
        assert await listed("all_tenants=1&deleted=1&soft_deleted=0", "admin") == []
        assert await listed("all_tenants=1&soft_deleted=1", "admin") == [server]
        # Users can't ask for them, but learn of changes.
        assert await listed("deleted=1") == []
        assert await listed("changes-since=2020-01-01T00:00:00Z") == [server]
        refused = await cloud.act(server, "os-start", status=409)
        assert "while it is in vm_state soft-delete." in refused["conflictingRequest"]["message"]
        limits = (await cloud.ask("GET", "/limits", 200))["limits"]["absolute"]
        assert limits["totalInstancesUsed"] == 0
        await cloud.act(server, "restore", token="other", status=404)
        await cloud.act(server, "restore", token="reader", status=403)
        await cloud.act(server, "restore")
        await cloud.until(server, "ACTIVE")
        assert await listed("") == [server]
        refused = await cloud.act(server, "restore", status=409)
        assert refused["conflictingRequest"]["message"].startswith(
            f"Cannot 'restore' instance {server} while it is in vm_state active"
        )
        assert refused["conflictingRequest"]["message"].endswith("Allowed states: soft-delete.")
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        await cloud.until(server, "SOFT_DELETED")
        await cloud.act(server, "forceDelete")
        await cloud.until_gone(server)
        actions = await cloud.ask("GET", f"/servers/{server}/os-instance-actions", 200, "admin")
        names = [action["action"] for action in actions["instanceActions"]]
        assert names == ["delete", "delete", "restore", "delete", "create"]


async def test_a_restore_asks_the_quota_again(tmp_path: Path) -> None:
    options = replace(KEPT, quota=replace(KEPT.quota, quota_instances=1))
    async with fake_cloud(tmp_path, conductor=options) as cloud:
        server = await cloud.boot("first")
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        await cloud.until(server, "SOFT_DELETED")
        await cloud.boot("second")
        refused = await cloud.act(server, "restore", status=403)
        assert refused["forbidden"]["message"] == (
            "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances"
        )


async def test_without_an_interval_a_delete_is_a_delete(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot("web")
        await cloud.act(server, "restore", status=409)
        await cloud.act(server, "lock", None)
        locked = await cloud.act(server, "forceDelete", status=409)
        assert locked["conflictingRequest"]["message"] == f"Instance {server} is locked"
        await cloud.act(server, "unlock")
        await cloud.act(server, "forceDelete")
        await cloud.until_gone(server)
        other = await cloud.boot("other")
        await cloud.ask("DELETE", f"/servers/{other}", 204)
        await cloud.until_gone(other)
        await cloud.act(other, "forceDelete", status=404)
