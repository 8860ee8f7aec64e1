"""`GET /metrics` for Prometheus: one listener a process, on the loopback unless told otherwise."""

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder


class MetricsListener:
    """Serves the process's metrics at `host:port`."""

    def __init__(self, address: str, registry: CollectorRegistry = REGISTRY) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._registry = registry
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen; returns the bound `host:port`. Raises OSError when the address is taken."""
        application = web.Application()
        application.router.add_get("/metrics", self._answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, self._host, self._port).start()
        self._runner = runner
        return f"{self._host}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})
