"""What instances used, and what the usage audit did."""

from db import usage
from db.database import Connection, Database
from db.schema.base import moment, now
from db.usage import Page, Window
from novamesh.conductor.v1.usage_service_pb2 import (
    GetUsageAuditRequest,
    GetUsageAuditResponse,
    ListUsagesRequest,
    ListUsagesResponse,
)
from novamesh.failures import InvalidArgumentError
from services.conductor.audit_periods import last_period
from services.conductor.options import ConductorOptions
from services.conductor.usage_audit import read_audit
from services.mesh import Call


class UsageServicer:
    """Answers novamesh.conductor.v1.UsageService."""

    def __init__(self, database: Database, options: ConductorOptions) -> None:
        self._database = database
        self._options = options

    async def ListUsages(self, request: ListUsagesRequest, call: Call) -> ListUsagesResponse:
        """Sums, and instances when asked."""
        start, end = moment(request.start), moment(request.end)
        if end < start:
            raise InvalidArgumentError("end", "The end is before the start.")
        window = Window(start, max(start, min(end, now())), request.project_id)
        page = Page(max(0, request.page_size), request.marker)

        def work(connection: Connection) -> ListUsagesResponse:
            if not (request.detailed or page.size or page.marker):
                usages, count = usage.totals(connection, window)
                return ListUsagesResponse(usages=usages, instance_count=count)
            usages = usage.by_instance(connection, window, page)
            count = sum(len(one.instances) for one in usages)
            last = usages[-1].instances[-1].instance_id if usages else ""
            if not request.detailed:
                for one in usages:
                    one.ClearField("instances")
            return ListUsagesResponse(usages=usages, instance_count=count, last_instance_id=last)

        return await self._database.read(work)

    async def GetUsageAudit(self, request: GetUsageAuditRequest, call: Call) -> GetUsageAuditResponse:
        """What was done for the last period."""
        before = moment(request.before) if request.HasField("before") else now()
        period = last_period(self._options.instance_usage_audit_period, before)
        return await self._database.read(lambda c: read_audit(c, period))
