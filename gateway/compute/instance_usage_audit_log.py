"""What the usage audit did for the last period that is over, host by host."""

from datetime import UTC, datetime
from typing import Any

from gateway.compute.backends import ComputeRequest
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.conductor.v1.usage_service_pb2 import GetUsageAuditRequest

_RULE = "os_compute_api:os-instance-usage-audit-log:"


async def index(call: ComputeRequest) -> object:
    """GET /os-instance_usage_audit_log."""
    return {"instance_usage_audit_logs": await _audit(call, GetUsageAuditRequest())}


async def show(call: ComputeRequest) -> object:
    """GET /os-instance_usage_audit_log/{before_timestamp}."""
    text = call.path["id"]
    try:
        before = datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f" if "." in text else "%Y-%m-%d %H:%M:%S")
    except ValueError:
        raise HttpError(400, f"Invalid timestamp for date {text}") from None
    request = GetUsageAuditRequest()
    request.before.FromDatetime(before.replace(tzinfo=UTC))
    return {"instance_usage_audit_log": await _audit(call, request)}


async def _audit(call: ComputeRequest, request: GetUsageAuditRequest) -> dict[str, Any]:
    answer = await call.state.usages.GetUsageAudit(request, timeout=call.state.timeout)
    hosts = set(answer.hosts)
    seen = {one.host for one in answer.audits}
    done = {one.host for one in answer.audits if one.state == "DONE"}
    running = {one.host for one in answer.audits if one.state == "RUNNING"}
    errors = sum(one.errors for one in answer.audits)
    share = "ALL" if len(done) == len(hosts) else f"{len(done)} of {len(hosts)}"
    return {
        "period_beginning": str(answer.period_beginning.ToDatetime()),
        "period_ending": str(answer.period_ending.ToDatetime()),
        "num_hosts": len(hosts),
        "num_hosts_done": len(done),
        "num_hosts_running": len(running),
        "num_hosts_not_run": len(hosts - seen),
        "hosts_not_run": sorted(hosts - seen),
        "total_instances": sum(one.instances for one in answer.audits),
        "total_errors": errors,
        "overall_status": f"{share} hosts done. {errors} errors.",
        "log": {
            one.host: {
                "state": one.state,
                "instances": one.instances,
                "errors": one.errors,
                "message": one.message,
            }
            for one in answer.audits
        },
    }


_PATH = "/os-instance_usage_audit_log"

ROUTES = (
    Route("GET", _PATH, _RULE + "list", index),
    Route("GET", _PATH + "/{id}", _RULE + "show", show),
)
