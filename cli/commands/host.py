"""`novamesh host`: bringing further hosts into a cloud."""

import asyncio
from pathlib import Path

import click
from google.protobuf.duration_pb2 import Duration

from cli.administrator import call
from cli.options import config_options, load
from cli.roles import GATEWAY, ROLES
from novamesh.cert.v1.certificate_service_pb2 import CreateJoinTokenRequest
from novamesh.cert.v1.certificate_service_pb2_grpc import CertificateServiceStub
from novamesh.failures import Failure
from services.cert.joining import JoinTokenText, join
from services.mesh import Node


@click.group()
def host() -> None:
    """Bring further hosts into the cloud."""


@host.command()
@click.argument("name")
@click.argument("roles", nargs=-1, required=True, type=click.Choice([*ROLES, GATEWAY]))
@click.option("--life", default=3600, show_default=True, help="Seconds that the tokens can be used.")
@config_options
def token(name: str, roles: tuple[str, ...], life: int, config: Path | None, state_dir: Path) -> None:
    """Print a join token for each of ROLES on host NAME; each can be used once."""
    settings, state = load(config, state_dir)

    async def ask(node: Node) -> list[str]:
        stub = CertificateServiceStub(node.channel("cert"))
        requests = [CreateJoinTokenRequest(role=r, host=name, life=Duration(seconds=life)) for r in roles]
        return [(await stub.CreateJoinToken(request)).token for request in requests]

    for made in call(settings, state, ask):
        click.echo(made)


@host.command("join")
@click.argument("tokens", nargs=-1, required=True)
@config_options
def join_cloud(tokens: tuple[str, ...], config: Path | None, state_dir: Path) -> None:
    """Use TOKENS up: write the certificates that let this host run their roles with `novamesh serve`."""
    _, state = load(config, state_dir)
    state.create()
    for text in tokens:
        try:
            role = JoinTokenText.parse(text).peer.role
            certificate = asyncio.run(join(text))
        except Failure as failure:
            raise click.ClickException(failure.message) from failure
        certificate.write(state.certificates, role)
        click.echo(f"{certificate.peer.spiffe_id}: {state.certificates / role}.pem")
