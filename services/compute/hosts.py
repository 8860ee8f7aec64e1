"""HostService: this host's own account of itself, and what is done to it as a machine."""

from collections.abc import Mapping

import structlog

from drivers.virt import Driver, HostPower, HostPowerAction, ImagePrecaching
from novamesh.compute.v1 import host_service_pb2 as pb
from novamesh.failures import Failure, InvalidArgumentError, NotSupportedError
from services.mesh import Call

log = structlog.get_logger("novamesh.compute")

_ACTIONS: Mapping[pb.HostPowerAction.ValueType, HostPowerAction] = {
    pb.HOST_POWER_ACTION_STARTUP: "startup",
    pb.HOST_POWER_ACTION_SHUTDOWN: "shutdown",
    pb.HOST_POWER_ACTION_REBOOT: "reboot",
}


class HostServicer:
    """Asks the driver."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def GetInventory(self, request: pb.GetInventoryRequest, call: Call) -> pb.GetInventoryResponse:
        """See HostService.GetInventory."""
        return pb.GetInventoryResponse(inventory=await self._driver.inventory())

    async def ListGuests(self, request: pb.ListGuestsRequest, call: Call) -> pb.ListGuestsResponse:
        """See HostService.ListGuests."""
        guests = await self._driver.instances()
        return pb.ListGuestsResponse(
            guests=[pb.Guest(instance_id=g.instance_id, power_state=g.power_state) for g in guests]
        )

    async def RunHostPowerAction(
        self, request: pb.RunHostPowerActionRequest, call: Call
    ) -> pb.RunHostPowerActionResponse:
        """See HostService.RunHostPowerAction."""
        action = _ACTIONS.get(request.action)
        if action is None:
            raise InvalidArgumentError("action", "No power action was named.")
        log.info("host power action", action=action)
        await self._power().run_host_power_action(action)
        return pb.RunHostPowerActionResponse()

    async def SetHostMaintenance(
        self, request: pb.SetHostMaintenanceRequest, call: Call
    ) -> pb.SetHostMaintenanceResponse:
        """See HostService.SetHostMaintenance."""
        log.info("host maintenance", maintenance=request.maintenance)
        await self._power().set_host_maintenance(request.maintenance)
        return pb.SetHostMaintenanceResponse()

    async def CacheImages(self, request: pb.CacheImagesRequest, call: Call) -> pb.CacheImagesResponse:
        """See HostService.CacheImages."""
        outcomes = {image_id: await self._cache(image_id) for image_id in dict.fromkeys(request.image_ids)}
        return pb.CacheImagesResponse(outcomes=outcomes)

    async def _cache(self, image_id: str) -> pb.CacheOutcome.ValueType:
        if not isinstance(self._driver, ImagePrecaching):
            return pb.CACHE_OUTCOME_UNSUPPORTED
        try:
            fetched = await self._driver.cache_image(image_id)
        except Failure as failure:
            log.warning("image not cached", image=image_id, why=failure.message)
            return pb.CACHE_OUTCOME_ERROR
        return pb.CACHE_OUTCOME_CACHED if fetched else pb.CACHE_OUTCOME_EXISTING

    def _power(self) -> HostPower:
        if not isinstance(self._driver, HostPower):
            raise NotSupportedError(
                "host_power",
                f"The {self._driver.name} driver can't power its host or put it into maintenance.",
            )
        return self._driver
