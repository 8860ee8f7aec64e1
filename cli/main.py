"""The `novamesh` command."""

import click

from cli.commands.ca import ca
from cli.commands.config import config
from cli.commands.db import db
from cli.commands.doctor import doctor
from cli.commands.host import host
from cli.commands.operation import operation
from cli.commands.policy import policy
from cli.commands.serve import serve
from cli.commands.status import status
from cli.commands.up import up
from cli.process import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="novamesh")
def main() -> None:
    """OpenStack Compute as a mesh of small, typed gRPC services.

    \b
    A cloud on this machine:      novamesh up
    The same without hypervisor:  novamesh up --fake
    What runs in it:              novamesh status
    What this machine lacks:      novamesh doctor

    Options stand in a TOML file (--config) or in variables NOVAMESH_SECTION__OPTION;
    conf/novamesh.toml lists them all.
    """


for command in (up, serve, status, operation, doctor, config, policy, db, ca, host):
    main.add_command(command)

if __name__ == "__main__":
    main()
