"""Key pairs as Nova has them, in front of a real conductor: x509, pages, other users, quotas."""

import base64
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.conductor.options import QuotaOptions
from tests.gateway.fake_cloud import CONDUCTOR, fake_cloud
from tests.gateway.test_keypairs import KEY, body

KEYS = "/os-keypairs"


async def test_an_x509_pair_is_made_until_2_91(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        wanted = {"keypair": {"name": "win", "type": "x509"}}
        made = (await cloud.ask("POST", KEYS, 201, version="2.91", json=wanted))["keypair"]
        assert made["type"] == "x509"
        certificate = x509.load_pem_x509_certificate(made["public_key"].encode())
        (subject,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert subject.value == "u-demo"
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (principal,) = names.get_values_for_type(x509.OtherName)
        assert principal.value.endswith(b"u-demo@localhost")
        fingerprint = certificate.fingerprint(hashes.SHA1()).hex()
        assert made["fingerprint"].replace(":", "") == fingerprint
        key, held, _ = pkcs12.load_key_and_certificates(base64.b64decode(made["private_key"]), b"")
        assert held == certificate
        assert isinstance(key, RSAPrivateKey)
        # The certificate can be imported under another name; an ssh key can't be one.
        again = {"name": "again", "type": "x509", "public_key": made["public_key"]}
        await cloud.ask("POST", KEYS, 201, version="2.92", json={"keypair": again})
        await cloud.ask("POST", KEYS, 400, json={"keypair": again | {"name": "b", "public_key": KEY}})
        await cloud.ask("POST", KEYS, 400, version="2.92", json={"keypair": wanted["keypair"]})
        shown = (await cloud.ask("GET", f"{KEYS}/win", 200))["keypair"]
        assert (shown["type"], shown["fingerprint"]) == ("x509", made["fingerprint"])
        assert "private_key" not in shown


async def test_pages_by_name_from_2_35_on(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        for name in ("b", "a", "c@x.org"):
            await cloud.ask("POST", KEYS, 201, json=body(name=name))
        page = await cloud.ask("GET", f"{KEYS}?limit=2", 200, version="2.35")
        assert [one["keypair"]["name"] for one in page["keypairs"]] == ["a", "b"]
        path = page["keypairs_links"][0]["href"].partition("/v2.1")[2]
        rest = await cloud.ask("GET", path, 200, version="2.35")
        assert [one["keypair"]["name"] for one in rest["keypairs"]] == ["c@x.org"]
        assert "keypairs_links" not in rest
        whole = await cloud.ask("GET", f"{KEYS}?limit=2", 200, version="2.34")
        assert len(whole["keypairs"]) == 3
        await cloud.ask("GET", f"{KEYS}?marker=z", 400, version="2.35")
        await cloud.ask("GET", f"{KEYS}?limit=-1", 400, version="2.35")
        await cloud.ask("GET", f"{KEYS}?colour=1", 400, version="2.75")
        await cloud.ask("GET", f"{KEYS}?colour=1", 200, version="2.74")
        await cloud.ask("GET", f"{KEYS}/c%40x.org", 200)
        await cloud.ask("DELETE", f"{KEYS}/c@x.org", 204)


async def test_an_administrator_acts_for_others(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        await cloud.ask("POST", KEYS, 201, "admin", "2.10", json=body(user_id="u-demo"))
        assert (await cloud.ask("GET", f"{KEYS}/k", 200))["keypair"]["user_id"] == "u-demo"
        await cloud.ask("GET", f"{KEYS}/k", 404, "admin", "2.10")
        await cloud.ask("GET", f"{KEYS}/k?user_id=u-demo", 200, "admin", "2.10")
        await cloud.ask("GET", f"{KEYS}/k?user_id=u-demo", 403, "other", "2.10")
        await cloud.ask("DELETE", f"{KEYS}/k?user_id=u-demo", 403, "other", "2.10")
        await cloud.ask("POST", KEYS, 400, "admin", "2.9", json=body(user_id="u-demo"))
        await cloud.ask("DELETE", f"{KEYS}/k?user_id=u-demo", 204, "admin", "2.10")
        gone = await cloud.ask("DELETE", f"{KEYS}/k", 404)
        assert gone["itemNotFound"]["message"] == "Keypair k not found for user u-demo"


async def test_a_user_has_so_many(tmp_path: Path) -> None:
    options = replace(CONDUCTOR, quota=QuotaOptions(quota_key_pairs=1))
    async with fake_cloud(tmp_path, hosts=0, conductor=options) as cloud:
        await cloud.ask("POST", KEYS, 200, version="2.1", json={"keypair": {"name": "made"}})
        full = await cloud.ask("POST", KEYS, 403, json=body())
        assert full["forbidden"]["message"] == "Quota exceeded, too many key pairs."
        await cloud.ask("DELETE", f"{KEYS}/made", 202, version="2.1")
        await cloud.ask("POST", KEYS, 201, json=body())
