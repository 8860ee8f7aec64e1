"""What users may not do and what they do wrong, told by `openstack` and openstacksdk in plain words.

What the command line adds (lookups by name, sentences) is asked of it; the rest of the SDK, which is faster.
Days without mistakes are in test_openstack_user.py, test_user_days.py and test_admin_days.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.exceptions import Unauthorized
from openstack.exceptions import SDKException

from tests.clients.days.people import Person, make_people
from tests.clients.newcomer import eventually
from tests.clients.shells import Shell, shell
from tests.cloud import Cloud, running_cloud

pytestmark = [
    pytest.mark.client,
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

SERVER = ("--image", "tiny", "--flavor", "m1.tiny", "--network", "private")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_cloud(tmp_path_factory.mktemp("mistakes") / "state", "--fake") as up, up.entered():
        yield up


@pytest.fixture(scope="module")
def people(cloud: Cloud) -> Mapping[str, Person]:
    """`demo` and `blue`, each a member of a project, and `boss`, an administrator."""
    return make_people(cloud, {"demos": "member", "blue": "member", "boss": "admin"})


@pytest.fixture(scope="module")
def openstack(cloud: Cloud, people: Mapping[str, Person]) -> Iterator[Shell]:
    """The command, typed by demo or by `admin`."""
    users = {"user": people["demos"].environment, "admin": people["boss"].environment}
    with shell(cloud, "openstack", "python-openstackclient==10.5.0", users) as opened:
        yield opened


@pytest.fixture(scope="module")
def demo(people: Mapping[str, Person]) -> Any:
    return people["demos"].connection()


@pytest.fixture(scope="module")
def admin(people: Mapping[str, Person]) -> Any:
    return people["boss"].connection()


@pytest.fixture(scope="module")
def blue(people: Mapping[str, Person]) -> Any:
    """A user of another project."""
    return people["blue"].connection()


@pytest.fixture
def server(demo: Any) -> Iterator[Any]:
    """A server of demo's, ACTIVE."""
    made = boot(demo, "one")
    yield made
    demo.compute.delete_server(made, ignore_missing=True)
    demo.compute.wait_for_delete(made)


def boot(user: Any, name: str, **options: Any) -> Any:
    """A server, once it is ACTIVE."""
    made = user.compute.create_server(
        name=name,
        image_id=user.image.find_image("tiny").id,
        flavor_id=user.compute.find_flavor("m1.tiny").id,
        networks="auto",
        **options,
    )
    return user.compute.wait_for_server(made, wait=60)


def delete_all(user: Any) -> None:
    """Delete the project's servers, and wait."""
    servers = list(user.compute.servers(details=False))
    for each in servers:
        user.compute.delete_server(each)
    for each in servers:
        user.compute.wait_for_delete(each)


def test_a_key_that_is_none(openstack: Shell, tmp_path: Path) -> None:
    public = tmp_path / "key.pub"
    public.write_text("no key\n")
    create = ("keypair", "create", "--public-key", str(public))
    assert "Keypair data is invalid" in openstack.refused(*create, "bad")
    assert openstack.json("keypair", "list") == []


def test_what_takes_an_administrator(openstack: Shell, server: Any) -> None:
    for command, rule in (
        (("server", "list", "--all-projects"), "os_compute_api:servers:detail:get_all_tenants"),
        (
            ("flavor", "create", "--ram", "64", "--disk", "1", "--vcpus", "1", "mine"),
            "os_compute_api:os-flavor-manage:create",
        ),
        (("server", "migrate", server.id), "os_compute_api:os-migrate-server:migrate"),
        (("image", "delete", "tiny"), "delete_image"),
        (("user", "list"), "identity:list_users"),
    ):
        assert rule in openstack.refused(*command)


def test_what_a_project_may_have(openstack: Shell, demo: Any, admin: Any, server: Any) -> None:
    limits = {limit["Name"]: limit["Value"] for limit in openstack.json("limits", "show", "--absolute")}
    assert (limits["instances"], limits["instances_used"], limits["total_cores_used"]) == (10, 1, 1)
    project = demo.current_project_id
    openstack("quota", "set", "--instances", "2", "--cores", "1", project, user="admin")
    shown = {q["Resource"]: q["Limit"] for q in openstack.json("quota", "show")}
    assert (shown["instances"], shown["cores"], shown["ram"]) == (2, 1, 51200)
    refused = openstack.refused("server", "create", *SERVER, "second")
    assert "Quota exceeded for cores: Requested 1, but already used 1 of 1 cores" in refused
    too_few = openstack.refused("quota", "set", "--instances", "0", project, user="admin")
    assert "must be greater than or equal to already used and reserved 1" in too_few
    assert "Policy doesn't allow" in openstack.refused("quota", "set", "--instances", "50", project)
    openstack("quota", "delete", project, user="admin")
    assert admin.compute.get_quota_set(project).instances == 10


def test_a_disabled_host(openstack: Shell, demo: Any, admin: Any) -> None:
    """Nothing is placed there, and the fault says which filter refused it."""
    (compute,) = admin.compute.services(binary="nova-compute")
    admin.compute.disable_service(compute, disabled_reason="new disk")
    (listed,) = openstack.json(
        *("compute", "service", "list", "--service", "nova-compute", "--long"),
        user="admin",
    )
    assert (listed["Status"], listed["Disabled Reason"]) == ("disabled", "new disk")
    assert "Error creating server: nowhere" in openstack.refused(
        "server", "create", *SERVER, "--wait", "nowhere"
    )
    shown = openstack.json("server", "show", "nowhere")
    assert shown["status"] == "ERROR"
    assert shown["fault"]["message"].startswith("No valid host was found.")
    assert "ComputeFilter left 0 of 1" in shown["fault"]["message"]
    admin.compute.enable_service(compute)
    delete_all(demo)


def test_two_projects_see_nothing_of_each_other(demo: Any, blue: Any, server: Any) -> None:
    assert list(blue.compute.servers()) == []
    for attempt in (
        lambda: blue.compute.get_server(server.id),
        lambda: blue.compute.stop_server(server.id),
        lambda: blue.compute.delete_server(server.id, ignore_missing=False),
        lambda: blue.compute.get_server_console_output(server.id),
        lambda: list(blue.compute.server_actions(server.id)),
        lambda: blue.compute.set_server_metadata(server.id, a="b"),
    ):
        with pytest.raises(SDKException) as caught:
            attempt()
        assert getattr(caught.value, "status_code", None) == 404, caught.value
    own = boot(blue, "theirs")
    assert [s.name for s in blue.compute.servers()] == ["theirs"]
    assert [s.name for s in demo.compute.servers()] == ["one"]
    with pytest.raises(SDKException, match="403"):
        list(blue.compute.servers(all_projects=True))
    delete_all(blue)
    with pytest.raises(SDKException):
        blue.compute.get_server(own.id)


def test_an_application_credential_logs_in(
    cloud: Cloud, people: Mapping[str, Person], openstack: Shell, server: Any
) -> None:
    made = openstack.json("application", "credential", "create", "--role", "member", "robot")
    robot = {
        "OS_AUTH_TYPE": "v3applicationcredential",
        "OS_AUTH_URL": people["demos"].environment["OS_AUTH_URL"],
        "OS_APPLICATION_CREDENTIAL_ID": made.get("id") or made["ID"],
        "OS_APPLICATION_CREDENTIAL_SECRET": made.get("secret") or made["Secret"],
    }
    with shell(cloud, "openstack", "python-openstackclient==10.5.0", {"user": robot}) as robots:
        assert robots.json("server", "list")[0]["ID"] == server.id
        again = openstack.refused("application", "credential", "create", "robot")
        assert "taken by another application credential" in again
        openstack("application", "credential", "delete", "robot")
        assert "401" in robots.refused("server", "list")


def test_users_who_may_not(cloud: Cloud, openstack: Shell, admin: Any) -> None:
    (kim,) = make_people(cloud, {"kim": "member"}).values()
    (assigned,) = openstack.json("role", "assignment", "list", "--user", "kim", "--names", user="admin")
    assert (assigned["Role"], assigned["Project"]) == ("member", "kim@Default")
    assert list(kim.connection().compute.servers()) == []
    wrong = replace(kim, environment={**kim.environment, "OS_PASSWORD": "second"}).connection()
    with pytest.raises(Exception, match="The user name, the password or the scope is wrong") as caught:
        list(wrong.compute.servers())
    assert "401" in str(caught.value)
    known = kim.connection()
    assert list(known.compute.servers()) == []
    admin.identity.update_user(kim.user_id, is_enabled=False)

    def refused() -> bool:
        try:
            list(known.compute.servers())
        except Unauthorized:
            return True
        return False

    # The list of revocations follows: at most moments later, and in each gateway by itself.
    eventually("kim's token to be revoked", refused)
    admin.identity.delete_user(kim.user_id)
    admin.identity.delete_project(kim.project_id)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--image", "nope"), "No Image found for nope"),
        (("--flavor", "m1.nope"), "No Flavor found for m1.nope"),
        (("--network", "nope"), "nope not found"),
        (("--key-name", "nope"), "Keypair nope not found"),
        (("--availability-zone", "mars"), "The requested availability zone is not available"),
        (("--flavor", "m1.xlarge", "--min", "3", "--max", "3"), "Quota exceeded for cores: Requested 24"),
    ],
)  # fmt: skip
def test_mistakes_in_a_create(openstack: Shell, demo: Any, options: tuple[str, ...], sentence: str) -> None:
    assert sentence in openstack.refused("server", "create", *SERVER, *options, "bad")
    assert list(demo.compute.servers()) == []


def test_unknown_hints_are_for_filters_of_ones_own(demo: Any) -> None:
    boot(demo, "hinted", scheduler_hints={"nonsense": "1"})
    delete_all(demo)


def test_an_address_of_ones_own(demo: Any) -> None:
    (network,) = demo.compute.get("/os-networks", microversion="2.35").json()["networks"]

    def with_address(name: str, address: str) -> Any:
        made = demo.compute.create_server(
            name=name,
            image_id=demo.image.find_image("tiny").id,
            flavor_id=demo.compute.find_flavor("m1.tiny").id,
            networks=[{"uuid": network["id"], "fixed_ip": address}],
        )
        return demo.compute.wait_for_server(made, wait=60)

    first = with_address("first", "10.80.0.77")
    assert first.addresses["private"][0]["addr"] == "10.80.0.77"
    for address, sentence in (
        ("10.80.0.77", "The address 10.80.0.77 is in use already."),
        ("10.80.0.1", "10.80.0.1 is not an address that network private gives out."),
        ("192.168.0.1", "192.168.0.1 is not an address that network private gives out."),
    ):
        with pytest.raises(SDKException, match=sentence) as caught:
            with_address("second", address)
        assert getattr(caught.value, "status_code", None) == 400
    assert [s.name for s in demo.compute.servers()] == ["first"]
    delete_all(demo)


def test_mistakes_with_a_server(openstack: Shell, demo: Any, server: Any) -> None:
    assert "No Server found for nobody" in openstack.refused("server", "show", "nobody")
    conflict = openstack.refused("server", "start", server.id)
    assert f"Cannot 'start' instance {server.id} while it is in vm_state active" in conflict
    assert "Allowed states: stopped" in conflict
    openstack("server", "lock", server.id)
    assert f"Instance {server.id} is locked" in openstack.refused("server", "delete", server.id)
    openstack("server", "unlock", server.id)
    with pytest.raises(SDKException, match="instances must change flavor"):
        demo.compute.resize_server(server, "1")
