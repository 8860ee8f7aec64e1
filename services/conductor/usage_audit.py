"""The usage audit: once a period, a line in the log for each instance that existed in it, for billing.

It is what Nova's `compute.instance.exists` notification says. What was done is written down host by host:
conductors share the hosts of a period among them, and none is audited twice. Only what a conductor had begun
that died is begun again, lines and all.
"""

import time
from datetime import timedelta

import structlog

from db import usage_audits
from db.database import Connection, Database
from db.schema.base import moment, now, timestamp
from db.usage_audits import Period
from novamesh.conductor.v1.usage_service_pb2 import GetUsageAuditResponse, UsageAudit
from novamesh.failures import vm_state_name
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor.audit_periods import last_period

log = structlog.get_logger("novamesh.conductor")

# Instances read at once.
PAGE = 500
# How long an audit of one host, which takes seconds, may go on until its conductor is taken for dead. Well
# below the shortest period, after which nobody looks any more.
PATIENCE = timedelta(minutes=10)


def read_audit(connection: Connection, period: Period) -> GetUsageAuditResponse:
    """What was done for a period."""
    return GetUsageAuditResponse(
        period_beginning=timestamp(period.beginning),
        period_ending=timestamp(period.ending),
        audits=usage_audits.runs(connection, period),
        hosts=usage_audits.everywhere(connection),
    )


class UsageAuditor:
    """Audits what has not been audited of the last period."""

    def __init__(self, database: Database, period: str) -> None:
        self._database = database
        self._period = period

    async def run(self) -> None:
        """Look once; nothing when all hosts are done."""
        at = now()
        period = last_period(self._period, at)
        for host in await self._database.read(lambda c: usage_audits.missing(c, period, at - PATIENCE)):
            await self._audit(host, period)

    async def _audit(self, host: str, period: Period) -> None:
        at, began = now(), time.monotonic()
        if not await self._database.write(lambda c: usage_audits.begin(c, host, period, at, at - PATIENCE)):
            return
        last, count = 0, 0
        while page := await self._database.read(
            lambda c: usage_audits.instances_of(c, host, period, last, PAGE)  # noqa: B023
        ):
            for instance in page:
                _report(instance, host, period)
            last, count = page[-1].number, count + len(page)
        message = (
            f"Instance usage audit ran for host {host}, {count} instances in "
            f"{time.monotonic() - began:.2f} seconds."
        )
        done = UsageAudit(host=host, instances=count, message=message)
        await self._database.write(lambda c: usage_audits.finish(c, period, done))


def _report(instance: Instance, host: str, period: Period) -> None:
    ended = instance.HasField("terminated_at")
    log.info(
        "compute.instance.exists",
        audit_period_beginning=str(period.beginning),
        audit_period_ending=str(period.ending),
        instance_id=instance.id,
        display_name=instance.display_name,
        tenant_id=instance.project_id,
        user_id=instance.user_id,
        host=host,
        state=vm_state_name(instance.vm_state),
        instance_type=instance.flavor.name,
        vcpus=instance.flavor.vcpus,
        memory_mb=instance.flavor.memory_mb,
        disk_gb=instance.flavor.root_gb + instance.flavor.ephemeral_gb,
        launched_at=str(moment(instance.launched_at)),
        terminated_at=str(moment(instance.terminated_at)) if ended else "",
    )
