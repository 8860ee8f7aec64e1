"""Key pairs."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.compute.ssh_keys import ssh_fingerprint
from novamesh.conductor.v1.keypair_service_pb2 import Keypair
from tests.gateway.compute_world import compute_world

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1mJ2kqZxw0J8pnZ0YH1dXW7F1mD4bN0W7yq1b3x7zU me@here"


def body(**fields: str) -> dict[str, dict[str, str]]:
    return {"keypair": {"name": "k", "public_key": KEY, **fields}}


def test_a_fingerprint_is_the_md5_that_ssh_keygen_prints() -> None:
    digest = hashlib.md5(base64.b64decode(KEY.split()[1])).hexdigest()
    assert ssh_fingerprint(KEY).replace(":", "") == digest
    assert len(ssh_fingerprint(KEY)) == 47


async def test_import_show_list_and_delete() -> None:
    async with compute_world() as world:
        response = await world.request("POST", "/os-keypairs", json=body())
        assert response.status == 200
        made = (await response.json())["keypair"]
        assert made.keys() == {"name", "public_key", "fingerprint", "user_id"}
        response = await world.request("POST", "/os-keypairs", json=body())
        assert response.status == 409
        assert "Key pair 'k' already exists." in await response.text()
        (listed,) = (await (await world.get("/os-keypairs", version="2.2")).json())["keypairs"]
        assert listed["keypair"]["type"] == "ssh"
        shown = (await (await world.get("/os-keypairs/k")).json())["keypair"]
        assert (shown["id"], shown["deleted"], shown["user_id"]) == (1, False, "u-demo")
        assert (await world.get("/os-keypairs/k", token="other")).status == 404
        assert (await world.request("DELETE", "/os-keypairs/k")).status == 202
        assert (await world.request("DELETE", "/os-keypairs/k", version="2.2")).status == 404


async def test_a_list_has_pages_from_2_35_on_and_everything_before() -> None:
    async with compute_world() as world:
        for number in range(1001):
            name = f"k{number:04}"
            world.keypairs["u-demo", name] = Keypair(user_id="u-demo", name=name)
        before = await (await world.get("/os-keypairs", version="2.34")).json()
        assert [row["keypair"]["name"] for row in before["keypairs"]] == [f"k{n:04}" for n in range(1001)]
        assert before.keys() == {"keypairs"}
        paged = await (await world.get("/os-keypairs", version="2.35")).json()
        assert len(paged["keypairs"]) == 1000
        assert paged["keypairs_links"][0]["href"].endswith("marker=k0999")


async def test_a_pair_is_made_and_its_private_half_handed_out_once() -> None:
    async with compute_world() as world:
        response = await world.request("POST", "/os-keypairs", json={"keypair": {"name": "k"}}, version="2.2")
        assert response.status == 201
        made = (await response.json())["keypair"]
        private = load_pem_private_key(made["private_key"].encode(), None)
        assert private.key_size == 2048  # type: ignore[union-attr]
        assert made["public_key"].startswith("ssh-rsa ")
        assert "private_key" not in (await (await world.get("/os-keypairs/k")).json())["keypair"]
        response = await world.request(
            "POST", "/os-keypairs", json={"keypair": {"name": "l"}}, version="2.92"
        )
        assert response.status == 400
        assert "public_key" in await response.text()


async def test_an_administrator_cares_for_others_from_2_10_on() -> None:
    async with compute_world() as world:
        for token, status in (("demo", 403), ("admin", 201)):
            response = await world.request(
                "POST", "/os-keypairs", json=body(user_id="u-other"), token=token, version="2.10"
            )
            assert response.status == status
        response = await world.get("/os-keypairs?user_id=u-other", token="admin", version="2.10")
        assert len((await response.json())["keypairs"]) == 1
        assert (await world.get("/os-keypairs?user_id=u-other", version="2.10")).status == 403
        # Before that the parameter means nothing.
        response = await world.get("/os-keypairs?user_id=u-other", version="2.9")
        assert (await response.json())["keypairs"] == []


@pytest.mark.parametrize(
    ("fields", "version", "status"),
    [
        ({"public_key": "ssh-rsa nonsense"}, "2.1", 400),
        ({"public_key": ""}, "2.1", 400),
        ({"name": ""}, "2.1", 400),
        ({"name": "x" * 256}, "2.1", 400),
        ({"name": "a@b"}, "2.91", 400),
        ({"name": "a@b"}, "2.92", 201),
        ({"name": "k "}, "2.92", 400),
        ({"type": "ssh"}, "2.1", 400),
        ({"type": "gpg"}, "2.2", 400),
        ({"type": "x509"}, "2.2", 400),
    ],
)
async def test_what_a_key_pair_may_be(fields: dict[str, str], version: str, status: int) -> None:
    async with compute_world() as world:
        response = await world.request("POST", "/os-keypairs", json=body(**fields), version=version)
        assert response.status == status
