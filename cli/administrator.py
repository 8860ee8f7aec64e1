"""Calls that an administrator makes from the command line, with the certificate of a state directory."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from cli.settings import Settings
from cli.state import StateDirectory
from novamesh.failures import Failure
from services.mesh import Certificate, Node

T = TypeVar("T")


def call(settings: Settings, state: StateDirectory, work: Callable[[Node], Awaitable[T]]) -> T:
    """Run `work` with a node certified as administrator; a failure ends the command with its sentence."""

    async def run() -> T:
        node = Node(Certificate.read(state.certificates, "admin"), settings.mesh.addresses())
        await node.start()
        try:
            return await work(node)
        finally:
            await node.stop()

    try:
        return asyncio.run(run())
    except FileNotFoundError as error:
        raise click.ClickException(
            f"{error.filename} is not there: start the cloud with `novamesh up`, or name its --state-dir"
        ) from error
    except (Failure, ValueError) as error:
        raise click.ClickException(str(error)) from error
