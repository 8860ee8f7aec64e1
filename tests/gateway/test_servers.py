"""GET, PUT and DELETE on servers; their metadata, tags, addresses and actions' history."""

from pathlib import Path
from typing import Any

import pytest

from gateway.options import GatewayOptions
from novamesh.types.v1.instance_pb2 import TaskState, VmState
from novamesh.types.v1.operation_pb2 import OperationKind
from tests.gateway.compute_things import IMAGE, NOW, made_instance
from tests.gateway.compute_world import World, compute_world


async def shown(world: World, server_id: str, version: str, token: str = "demo") -> dict[str, Any]:
    response = await world.get(f"/servers/{server_id}", version=version, token=token)
    assert response.status == 200
    return dict((await response.json())["server"])


# The first microversion that shows a field, and to whom.
FIRST = [
    ("locked", 9, "demo"),
    ("host_status", 16, "admin"),
    ("description", 19, "demo"),
    ("tags", 26, "demo"),
    ("trusted_image_certificates", 63, "demo"),
    ("server_groups", 71, "demo"),
    ("locked_reason", 73, "demo"),
    ("OS-EXT-SRV-ATTR:hostname", 90, "demo"),
    ("OS-EXT-SRV-ATTR:hostname", 3, "admin"),
    ("OS-EXT-SRV-ATTR:user_data", 3, "admin"),
    ("pinned_availability_zone", 96, "demo"),
    ("scheduler_hints", 100, "demo"),
]


@pytest.mark.parametrize(("field", "first", "token"), FIRST)
async def test_fields_begin_with_their_version(field: str, first: int, token: str) -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        assert field not in await shown(world, server.id, f"2.{first - 1}", token)
        assert field in await shown(world, server.id, f"2.{first}", token)


async def test_a_server_at_2_1_and_at_2_103() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(42))
        old = await shown(world, server.id, "2.1", "admin")
        assert old["status"] == "ACTIVE"
        assert old["flavor"].keys() == {"id", "links"}
        assert old["created"] == "2023-11-14T22:13:20Z"
        assert old["OS-SRV-USG:launched_at"] == "2023-11-14T22:13:20.880302"
        assert old["OS-EXT-SRV-ATTR:instance_name"] == "instance-0000002a"
        assert old["OS-EXT-STS:task_state"] is None
        fixed, floating = old["addresses"]["private"]
        assert (fixed["addr"], fixed["OS-EXT-IPS:type"], fixed["version"]) == ("10.0.0.5", "fixed", 4)
        assert floating["OS-EXT-IPS:type"] == "floating"
        new = await shown(world, server.id, "2.103")
        assert new["flavor"]["original_name"] == "m1.tiny"
        assert new["flavor"]["extra_specs"] == {"hw:cpu_policy": "shared"}
        assert new["image"]["properties"] == {"min_disk": "1", "architecture": "x86_64"}
        assert "OS-EXT-SRV-ATTR:host" not in new


@pytest.mark.parametrize(
    ("vm_state", "task_state", "status"),
    [
        (VmState.VM_STATE_BUILDING, TaskState.TASK_STATE_SPAWNING, "BUILD"),
        (VmState.VM_STATE_ACTIVE, TaskState.TASK_STATE_REBOOTING, "REBOOT"),
        (VmState.VM_STATE_ACTIVE, TaskState.TASK_STATE_REBOOTING_HARD, "HARD_REBOOT"),
        (VmState.VM_STATE_ACTIVE, TaskState.TASK_STATE_POWERING_OFF, "ACTIVE"),
        (VmState.VM_STATE_STOPPED, TaskState.TASK_STATE_UNSPECIFIED, "SHUTOFF"),
        (VmState.VM_STATE_SOFT_DELETED, TaskState.TASK_STATE_UNSPECIFIED, "SOFT_DELETED"),
    ],
)
async def test_status_is_made_of_state_and_task(
    vm_state: VmState.ValueType, task_state: TaskState.ValueType, status: str
) -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1, vm_state=vm_state, task_state=task_state))
        assert (await shown(world, server.id, "2.1"))["status"] == status


async def test_users_may_be_shown_that_a_host_is_unknown_and_no_more(tmp_path: Path) -> None:
    rules = tmp_path / "policy.yaml"
    rules.write_text('"os_compute_api:servers:show:host_status:unknown-only": "@"\n')
    async with compute_world(GatewayOptions(policy_file=rules)) as world:
        server = world.add(made_instance(1))
        assert "host_status" not in await shown(world, server.id, "2.16")
        assert (await shown(world, server.id, "2.16", "admin"))["host_status"] == "UP"
        world.hosts["host1"].up = False
        for version, there in (("2.15", False), ("2.16", True)):
            assert ("host_status" in await shown(world, server.id, version)) is there


async def test_rules_may_ask_for_the_user_of_a_server(tmp_path: Path) -> None:
    rules = tmp_path / "policy.yaml"
    mine = '"rule:context_is_admin or rule:mine"'
    rules.write_text(
        '"mine": "user_id:%(user_id)s"\n'
        f'"os_compute_api:servers:delete": {mine}\n'
        f'"os_compute_api:servers:stop": {mine}\n'
        f'"os_compute_api:os-instance-actions:list": {mine}\n'
        f'"os_compute_api:servers:detail": {mine}\n'
    )
    async with compute_world(GatewayOptions(policy_file=rules)) as world:
        server = world.add(made_instance(1))
        server.user_id = "u-demo"
        at = f"/servers/{server.id}"
        stop = {"json": {"os-stop": None}}

        async def ask(token: str, method: str, path: str, **options: Any) -> int:
            status: int = (await world.request(method, path, token=token, **options)).status
            return status

        # The reader belongs to the same project.
        assert await ask("reader", "GET", at) == 200
        assert await ask("reader", "GET", "/servers/detail") == 200
        for token, allowed in (("reader", False), ("demo", True), ("admin", True)):
            assert await ask(token, "GET", f"{at}/os-instance-actions") == (200 if allowed else 403)
            assert await ask(token, "POST", f"{at}/action", **stop) == (202 if allowed else 403)
            assert await ask(token, "POST", f"/os-volumes_boot/{server.id}/action", **stop) == (
                202 if allowed else 403
            )
        assert await ask("reader", "DELETE", at) == 403
        assert await ask("other", "DELETE", at) == 404
        assert await ask("demo", "DELETE", at) == 204


async def test_a_fault_is_shown_with_details_to_administrators() -> None:
    async with compute_world() as world:
        server = made_instance(1, vm_state=VmState.VM_STATE_ERROR)
        server.fault.code, server.fault.message, server.fault.details = 500, "No valid host", "RamFilter"
        server.fault.created_at.CopyFrom(NOW)
        world.add(server)
        assert "details" not in (await shown(world, server.id, "2.1"))["fault"]
        assert (await shown(world, server.id, "2.1", "admin"))["fault"]["details"] == "RamFilter"


async def test_another_project_s_server_does_not_exist() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/metadata"), ("GET", "/ips")):
            response = await world.request(method, f"/servers/{server.id}{path}", token="other")
            assert response.status == 404, (method, path)
            assert server.id in (await response.json())["itemNotFound"]["message"]
        assert (await world.get(f"/servers/{server.id}", token="admin")).status == 200
        assert (await world.get(f"/servers/{server.id}", token="nothing")).status == 403


async def test_lists_page_by_marker_and_limit() -> None:
    async with compute_world() as world:
        servers = [world.add(made_instance(number)) for number in range(1, 4)]
        page = await (await world.get("/servers?limit=2")).json()
        assert [one["id"] for one in page["servers"]] == [servers[0].id, servers[1].id]
        (link,) = page["servers_links"]
        assert link["rel"] == "next"
        page = await (await world.get(link["href"].partition("/v2.1")[2])).json()
        assert [one["id"] for one in page["servers"]] == [servers[2].id]
        assert "servers_links" not in page
        assert (await world.get("/servers?marker=nothing")).status == 400
        assert (await world.get("/servers?limit=-1")).status == 400
        assert (await (await world.get("/servers?limit=0")).json())["servers"] == []


async def test_a_list_is_one_question_to_the_conductor() -> None:
    async with compute_world() as world:
        for number in range(20):
            world.add(made_instance(number))
        world.calls.clear()
        assert len((await (await world.get("/servers/detail")).json())["servers"]) == 20
        assert len(world.calls) == 1


async def test_filters_become_the_conductor_s_question() -> None:
    async with compute_world() as world:
        query = (
            "name=web&status=active&status=SHUTOFF&image=i&flavor=f&ip=10.&tags=a,b&not-tags-any=c"
            "&changes-since=2024-01-02T03:04:05Z&sort_key=display_name&sort_dir=asc&host=h"
        )
        assert (await world.get(f"/servers?{query}", version="2.60")).status == 200
        asked = world.calls[-1]
        assert asked.filter.project_id == "demo"
        assert asked.filter.name_regex == "web"
        assert list(asked.filter.vm_states) == [VmState.VM_STATE_ACTIVE, VmState.VM_STATE_STOPPED]
        assert not asked.filter.task_states
        assert (asked.filter.image_id, asked.filter.flavor_id) == ("i", "f")
        assert list(asked.filter.tags) == ["a", "b"]
        assert list(asked.filter.not_tags_any) == ["c"]
        assert asked.filter.changes_since.seconds == 1_704_164_645
        assert [(key.field, key.descending) for key in asked.sort_keys] == [("display_name", False)]
        # Users don't choose by host; what they may not use is left out in silence, as upstream does.
        assert asked.filter.host == ""
        assert asked.brief


async def test_who_may_list_what() -> None:
    async with compute_world() as world:
        world.add(made_instance(1))
        assert (await world.get("/servers?all_tenants=1")).status == 403
        response = await world.get("/servers?all_tenants=1", token="admin")
        assert len((await response.json())["servers"]) == 1
        assert (await (await world.get("/servers", token="admin")).json())["servers"] == []
        assert (await world.get("/servers?all_tenants=maybe", token="admin")).status == 400
        assert (await world.get("/servers?status=DELETED")).status == 403
        assert (await world.get("/servers?sort_key=host")).status == 403


async def test_an_unknown_status_is_empty_and_from_2_38_on_refused() -> None:
    async with compute_world() as world:
        world.add(made_instance(1))
        response = await world.get("/servers?status=sleeping", version="2.37")
        assert (await response.json())["servers"] == []
        assert (await world.get("/servers?status=sleeping", version="2.38")).status == 400


@pytest.mark.parametrize("query", ["name=*", "changes-since=yesterday", "sort_key=nonsense", "services=1"])
async def test_filters_that_make_no_sense(query: str) -> None:
    async with compute_world() as world:
        response = await world.get(f"/servers?{query}", token="admin")
        assert response.status == 400
        assert query.partition("=")[0] in await response.text()


async def test_an_update_answers_in_its_version_s_shape() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        body = {"server": {"name": "new name", "accessIPv4": "192.0.2.1", "OS-DCF:diskConfig": "AUTO"}}
        response = await world.request("PUT", f"/servers/{server.id}", json=body, version="2.1")
        updated = (await response.json())["server"]
        assert updated["name"] == "new name"
        assert updated["OS-DCF:diskConfig"] == "AUTO"
        assert "key_name" not in updated
        response = await world.request("PUT", f"/servers/{server.id}", json=body, version="2.75")
        assert (await response.json())["server"]["key_name"] == "k"
        for wrong in ({"name": ""}, {"name": "x" * 256}, {"accessIPv4": "1.2.3"}, {"flavorRef": "1"}):
            response = await world.request("PUT", f"/servers/{server.id}", json={"server": wrong})
            assert response.status == 400
            assert next(iter(wrong)) in await response.text()
        unicode = {"server": {"name": "サーバー " + "é" * 240}}
        response = await world.request("PUT", f"/servers/{server.id}", json=unicode)
        assert (await response.json())["server"]["name"] == unicode["server"]["name"]


async def test_a_delete_is_an_operation() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        response = await world.request("DELETE", f"/servers/{server.id}")
        assert response.status == 204
        (operation,) = world.operations
        assert operation.kind == OperationKind.OPERATION_KIND_SOFT_DELETE
        assert operation.request_id == response.headers["X-Openstack-Request-Id"]


async def test_metadata() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        path = f"/servers/{server.id}/metadata"
        response = await world.request("POST", path, json={"metadata": {"c": "d"}})
        assert (await response.json())["metadata"] == {"a": "b", "c": "d"}
        response = await world.request("PUT", path + "/c", json={"meta": {"c": "e"}})
        assert (await response.json())["meta"] == {"c": "e"}
        assert (await (await world.get(path + "/c")).json())["meta"] == {"c": "e"}
        assert (await world.request("PUT", path + "/x", json={"meta": {"c": "e"}})).status == 400
        assert (await world.request("DELETE", path + "/a")).status == 204
        assert (await world.request("DELETE", path + "/a")).status == 404
        response = await world.request("PUT", path, json={"metadata": {"only": "this"}})
        assert (await response.json())["metadata"] == {"only": "this"}
        for wrong in ({"k" * 256: "v"}, {"k": "v" * 256}, {"k": 1}, {"": "v"}):
            assert (await world.request("POST", path, json={"metadata": wrong})).status == 400


async def test_tags() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        path = f"/servers/{server.id}/tags"
        assert (await world.get(path, version="2.25")).status == 404
        response = await world.request("PUT", path + "/red", version="2.26")
        assert response.status == 201
        assert response.headers["Location"].endswith(path + "/red")
        assert (await world.request("PUT", path + "/red", version="2.26")).status == 204
        assert (await world.get(path + "/red", version="2.26")).status == 204
        assert (await world.get(path + "/blue", version="2.26")).status == 404
        assert (await world.request("PUT", path + "/a%2Cb", version="2.26")).status == 400
        response = await world.request("PUT", path, json={"tags": ["x", "y", "x"]}, version="2.26")
        assert (await response.json())["tags"] == ["x", "y"]
        assert (await world.request("DELETE", path, version="2.26")).status == 204
        assert (await (await world.get(path, version="2.26")).json())["tags"] == []


async def test_addresses() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        answer = await (await world.get(f"/servers/{server.id}/ips")).json()
        assert answer["addresses"]["private"][0] == {"version": 4, "addr": "10.0.0.5"}
        assert (await world.get(f"/servers/{server.id}/ips/private")).status == 200
        assert (await world.get(f"/servers/{server.id}/ips/public")).status == 404


async def test_what_was_done_to_a_server() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        await world.request("POST", f"/servers/{server.id}/action", json={"os-stop": None})
        path = f"/servers/{server.id}/os-instance-actions"
        (action,) = (await (await world.get(path)).json())["instanceActions"]
        assert action["action"] == "stop"
        assert "updated_at" not in action
        one = f"{path}/{action['request_id']}"
        assert "events" not in (await (await world.get(one)).json())["instanceAction"]
        (event,) = (await (await world.get(one, version="2.62")).json())["instanceAction"]["events"]
        assert (event["event"], event["result"]) == ("compute_stop_instance", "Success")
        assert "host" not in event
        assert event["hostId"]
        (event,) = (await (await world.get(one, version="2.84", token="admin")).json())["instanceAction"][
            "events"
        ]
        assert event["host"] == "host1"
        assert "details" in event
        assert (await world.get(path + "/req-nothing")).status == 404


async def test_the_images_proxy_ends_with_2_35() -> None:
    async with compute_world() as world:
        response = await world.get(f"/images/{IMAGE}", version="2.35")
        assert (await response.json())["image"]["status"] == "ACTIVE"
        assert (await (await world.get("/images/detail")).json())["images"][0]["metadata"]
        response = await world.get("/images", version="2.36")
        assert response.status == 404
        assert "not supported on this method" in await response.text()
