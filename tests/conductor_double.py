"""A conductor in memory, as far as a compute host sees one."""

from collections.abc import Callable

from novamesh.conductor.v1 import host_service_pb2 as hosts
from novamesh.conductor.v1 import instance_service_pb2 as instances
from novamesh.conductor.v1 import migration_service_pb2 as migrations
from novamesh.conductor.v1 import operation_service_pb2 as operations
from novamesh.failures import NotFoundError, UnavailableError
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import VM_STATE_DELETED, Instance, PowerState
from novamesh.types.v1.migration_pb2 import Migration
from services.mesh import Binding, Call
from services.mesh.testing import ServiceRole


class ConductorDouble:
    """Keeps what it is told. `away` makes every call fail."""

    def __init__(self) -> None:
        self.away = False
        self.hosts: dict[str, hosts.RegisterHostRequest] = {}
        self.reports: list[hosts.ReportHostRequest] = []
        self.records: dict[str, Instance] = {}
        # The newest first.
        self.migrations: list[Migration] = []
        # Instances whose evacuations a host has said to be over.
        self.completed: list[str] = []
        self.power_states: list[tuple[str, PowerState.ValueType]] = []
        self.progress: list[tuple[str, str, int]] = []
        # Called before an answer, so that tests can act in the middle of a comparison.
        self.on_list: Callable[[], None] = lambda: None

    def role(self) -> ServiceRole:
        """It, as a role."""
        return ServiceRole(
            "conductor",
            [
                Binding(hosts.DESCRIPTOR.services_by_name["HostService"], self),
                Binding(instances.DESCRIPTOR.services_by_name["InstanceService"], self),
                Binding(migrations.DESCRIPTOR.services_by_name["MigrationService"], self),
                Binding(operations.DESCRIPTOR.services_by_name["OperationService"], self),
            ],
        )

    def _check(self) -> None:
        if self.away:
            raise UnavailableError("conductor", "The conductor is away.")

    async def RegisterHost(
        self, request: hosts.RegisterHostRequest, call: Call
    ) -> hosts.RegisterHostResponse:
        self._check()
        assert call.peer.host == request.name
        self.hosts[request.name] = request
        return hosts.RegisterHostResponse(host=Host(name=request.name))

    async def ReportHost(self, request: hosts.ReportHostRequest, call: Call) -> hosts.ReportHostResponse:
        self._check()
        if request.name not in self.hosts:
            raise NotFoundError("host", request.name)
        self.reports.append(request)
        return hosts.ReportHostResponse()

    async def GetInstance(
        self, request: instances.GetInstanceRequest, call: Call
    ) -> instances.GetInstanceResponse:
        self._check()
        record = self.records.get(request.id)
        if record is None or (record.vm_state == VM_STATE_DELETED and not request.read_deleted):
            raise NotFoundError("instance", request.id)
        return instances.GetInstanceResponse(instance=record)

    async def ListInstances(
        self, request: instances.ListInstancesRequest, call: Call
    ) -> instances.ListInstancesResponse:
        self._check()
        found = [
            record
            for record in self.records.values()
            if record.host == request.filter.host and record.vm_state != VM_STATE_DELETED
        ]
        start = int(request.page_token or 0)
        page = found[start : start + 2]
        more = str(start + 2) if start + 2 < len(found) else ""
        self.on_list()
        return instances.ListInstancesResponse(instances=page, next_page_token=more)

    async def ListMigrations(
        self, request: migrations.ListMigrationsRequest, call: Call
    ) -> migrations.ListMigrationsResponse:
        self._check()
        wanted = request.filter
        assert call.peer.host in (wanted.host, wanted.source_compute)
        found = [
            one
            for one in self.migrations
            if wanted.instance_id in ("", one.instance_id)
            and wanted.source_compute in ("", one.source_compute)
            and (not wanted.types or one.type in wanted.types)
            and (not wanted.statuses or one.status in wanted.statuses)
        ]
        return migrations.ListMigrationsResponse(migrations=found[: request.page_size or None])

    async def CompleteEvacuations(
        self, request: migrations.CompleteEvacuationsRequest, call: Call
    ) -> migrations.CompleteEvacuationsResponse:
        self._check()
        self.completed += request.instance_ids
        return migrations.CompleteEvacuationsResponse()

    async def ReportPowerStates(
        self, request: instances.ReportPowerStatesRequest, call: Call
    ) -> instances.ReportPowerStatesResponse:
        self._check()
        self.power_states += [(state.instance_id, state.power_state) for state in request.states]
        return instances.ReportPowerStatesResponse()

    async def ReportProgress(
        self, request: operations.ReportProgressRequest, call: Call
    ) -> operations.ReportProgressResponse:
        self._check()
        self.progress.append((request.id, request.step, request.progress))
        return operations.ReportProgressResponse()
