"""The `novamesh` command."""

from importlib import import_module

import click

# In the order in which somebody meets them, with the first sentence of each one's help.
COMMANDS = {
    "up": "Run a whole cloud on this machine until Ctrl-C.",
    "serve": "Run ROLES on this host until it is told to end.",
    "status": "Show roles, hosts, instances and operations.",
    "operation": "Look at accepted work.",
    "doctor": "Check this machine and say how to mend what it lacks.",
    "config": "Look at the configuration.",
    "policy": "Look at what users may do.",
    "db": "Bring the database's schema up to date.",
    "ca": "Make and look at the cloud's certificates.",
    "host": "Bring further hosts into the cloud.",
}


class Commands(click.Group):
    """Imports a command when it is typed: a whole cloud's modules take over a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, None for one that isn't there."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"cli.commands.{cmd_name}"), cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing what it names."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="novamesh", prog_name="novamesh")
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


if __name__ == "__main__":
    main()
