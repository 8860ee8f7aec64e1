"""The network role of the mesh."""

import asyncio
from collections.abc import Sequence

import structlog

from drivers.network import NetworkDriver
from novamesh.conductor.v1.network_service_pb2 import ListInterfacesRequest, ListNetworksRequest
from novamesh.conductor.v1.network_service_pb2_grpc import NetworkServiceStub
from novamesh.failures import Failure, UnavailableError
from novamesh.network.v1 import interface_service_pb2
from services.mesh import Binding, Node
from services.network.interfaces import InterfaceServicer
from services.network.options import NetworkOptions

log = structlog.get_logger("novamesh.network")


class NetworkRole:
    """Serves InterfaceService for one host, through a driver that `start` starts and `stop` closes."""

    name = "network"

    def __init__(self, node: Node, options: NetworkOptions, driver: NetworkDriver) -> None:
        self._node = node
        self._options = options
        self._driver = driver
        self._host = options.host or node.identity.host
        self._rebuilt = asyncio.Event()
        self._rebuilding: asyncio.Task[None] | None = None
        self._servicer = InterfaceServicer(driver, self._rebuilt)

    def bindings(self) -> Sequence[Binding]:
        """Its one service."""
        service = interface_service_pb2.DESCRIPTOR.services_by_name["InterfaceService"]
        return [Binding(service, self._servicer)]

    async def start(self) -> None:
        """Check the host, then make it as the conductor's records say; goes on asking while none answers.

        Raises DriverFailureError that names what the host lacks or what is in the way.
        """
        await self._driver.start()
        try:
            await self._rebuild()
        except UnavailableError as failure:
            log.warning("waiting for the conductor's records", error=failure.message)
            self._rebuilding = asyncio.create_task(self._keep_trying())

    async def stop(self) -> None:
        """Stop; the host's network stays unless `tear_down_on_stop`."""
        if self._rebuilding:
            self._rebuilding.cancel()
            await asyncio.wait([self._rebuilding])
        if self._options.tear_down_on_stop:
            await self._driver.tear_down()
        await self._driver.close()

    async def _keep_trying(self) -> None:
        while not self._rebuilt.is_set():
            await asyncio.sleep(self._options.retry_interval)
            try:
                await self._rebuild()
            except Failure as failure:
                log.warning("the host's network is not rebuilt", error=failure.message)
            except Exception:
                # A task that ends here would leave the host without its network for good.
                log.exception("the host's network is not rebuilt")

    async def _rebuild(self) -> None:
        records = NetworkServiceStub(self._node.channel("conductor"))
        timeout = self._options.rpc_timeout
        networks, cards = await asyncio.gather(
            records.ListNetworks(ListNetworksRequest(), timeout=timeout),
            records.ListInterfaces(ListInterfacesRequest(host=self._host), timeout=timeout),
        )
        await self._driver.apply(networks.networks, cards.interfaces)
        self._rebuilt.set()
        log.info("network rebuilt", networks=len(networks.networks), cards=len(cards.interfaces))
