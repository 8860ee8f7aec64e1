"""Puts a driver behind the contracts of identity."""

import asyncio
from collections.abc import Sequence

import structlog

from drivers.identity import IdentityDriver
from novamesh.conductor.v1.application_credential_service_pb2_grpc import ApplicationCredentialServiceStub
from novamesh.conductor.v1.authentication_service_pb2_grpc import AuthenticationServiceStub
from novamesh.identity.v1 import credential_service_pb2, token_service_pb2
from services.identity.credentials import CredentialServicer
from services.identity.options import IdentityOptions
from services.identity.tokens import TokenServicer
from services.mesh import Binding, Node

log = structlog.get_logger("novamesh.identity")


class IdentityRole:
    """One identity of the cloud; any number of them may serve at once."""

    name = "identity"

    def __init__(self, node: Node, options: IdentityOptions, driver: IdentityDriver) -> None:
        self._options = options
        self._driver = driver
        channel = node.channel("conductor")
        self._tokens = TokenServicer(driver)
        self._credentials = CredentialServicer(
            driver, AuthenticationServiceStub(channel), ApplicationCredentialServiceStub(channel)
        )

    def bindings(self) -> Sequence[Binding]:
        """TokenService and CredentialService."""
        return [
            Binding(token_service_pb2.DESCRIPTOR.services_by_name["TokenService"], self._tokens),
            Binding(
                credential_service_pb2.DESCRIPTOR.services_by_name["CredentialService"], self._credentials
            ),
        ]

    async def start(self) -> None:
        """Start the driver. Raises UnavailableError naming what is missing."""
        await self._driver.start()
        log.info("identity ready", driver=self._driver.name)

    async def stop(self) -> None:
        """Stop the driver."""
        async with asyncio.timeout(self._options.stop_timeout):
            await self._driver.stop()
