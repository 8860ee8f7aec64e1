"""`novamesh ca`: the cloud's certificate authority."""

from datetime import timedelta
from pathlib import Path

import click

from cli.options import config_options, load
from cli.roles import GATEWAY, ROLES
from cli.tables import open_console, table
from services.cert.provision import ADMIN_LIFE, provision
from services.mesh import Certificate, Peer
from services.mesh.authority import Authority
from services.mesh.certificates import now


@click.group()
def ca() -> None:
    """Make and look at the cloud's certificates."""


@ca.command()
@config_options
def create(config: Path | None, state_dir: Path) -> None:
    """Make the CA where there is none, and a certificate for each role on this host."""
    settings, state = load(config, state_dir)
    state.create()
    try:
        mesh, life = settings.mesh, timedelta(seconds=settings.cert.certificate_life)
        provision(state.certificates, mesh.cluster, mesh.host, [*ROLES, GATEWAY], life)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"certificates are in {state.certificates}")


@ca.command()
@config_options
def show(config: Path | None, state_dir: Path) -> None:
    """List the certificates of the state directory with their ends."""
    _, state = load(config, state_dir)
    shown = table(f"Certificates in {state.certificates}", "file", "identity", "ends", "in")
    for path in sorted(state.certificates.glob("*-key.pem")):
        name = path.name.removesuffix("-key.pem")
        if name == "ca":
            continue
        certificate = Certificate.read(state.certificates, name)
        left = certificate.not_after - now()
        shown.add_row(
            f"{name}.pem",
            certificate.peer.spiffe_id,
            certificate.not_after.isoformat(" ", "minutes"),
            f"{left.days} days" if left.days else f"{left.seconds // 60} minutes",
        )
    if not shown.row_count:
        raise click.ClickException(
            f"there are no certificates in {state.certificates}: `novamesh ca create` makes them"
        )
    open_console().print(shown)


@ca.command()
@click.argument("name")
@click.option("--days", default=ADMIN_LIFE.days, show_default=True, help="How long it is valid.")
@config_options
def admin(name: str, days: int, config: Path | None, state_dir: Path) -> None:
    """Make an administrator's certificate NAME.pem and NAME-key.pem, for grpcurl and `novamesh status`."""
    settings, state = load(config, state_dir)
    try:
        authority = Authority.read(state.certificates)
        peer = Peer(settings.mesh.cluster, "admin", settings.mesh.host)
        authority.issue(peer, timedelta(days=days)).write(state.certificates, name)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{state.certificates / name}.pem")
