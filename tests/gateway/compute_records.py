"""The services behind a Compute API of tests: servicers that remember in dictionaries."""

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from novamesh.compute.v1 import console_service_pb2 as console
from novamesh.conductor.v1 import (
    flavor_service_pb2 as flavor,
)
from novamesh.conductor.v1 import (
    host_service_pb2 as host,
)
from novamesh.conductor.v1 import (
    instance_service_pb2 as instance,
)
from novamesh.conductor.v1 import (
    keypair_service_pb2 as keypair,
)
from novamesh.conductor.v1 import (
    network_service_pb2 as network,
)
from novamesh.conductor.v1 import (
    node_service_pb2 as node_records,
)
from novamesh.conductor.v1 import (
    operation_service_pb2 as operation,
)
from novamesh.conductor.v1 import (
    quota_service_pb2 as quota,
)
from novamesh.errors.v1.errors_pb2 import QuotaShortage, StateConflict
from novamesh.failures import (
    AlreadyExistsError,
    GenerationConflictError,
    NotFoundError,
    QuotaExceededError,
    StateConflictError,
)
from novamesh.image.v1 import image_service_pb2 as image
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance, TaskState, VmState
from novamesh.types.v1.network_pb2 import Network
from novamesh.types.v1.operation_pb2 import Operation, OperationKind, OperationState
from services.mesh import Call
from tests.gateway.compute_things import NOW

if TYPE_CHECKING:
    from tests.gateway.compute_world import World


class Instances:
    """InstanceService."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def CreateInstances(self, request: Any, call: Call) -> instance.CreateInstancesResponse:
        self._world.calls.append(request)
        if request.max_count > 10:
            raise QuotaExceededError(
                [QuotaShortage(resource="instances", requested=request.min_count, used=10, limit=10)]
            )
        if request.template.key_name == "absent":
            raise NotFoundError("keypair", "absent")
        made = []
        for index in range(request.max_count):
            one = Instance()
            one.CopyFrom(request.template)
            one.MergeFrom(
                Instance(
                    id=str(uuid4()),
                    number=len(self._world.instances) + 1,
                    project_id=call.context.project_id,
                    user_id=call.context.user_id,
                    vm_state=VmState.VM_STATE_BUILDING,
                    task_state=TaskState.TASK_STATE_SCHEDULING,
                    reservation_id="r-12345678",
                    launch_index=index,
                    created_at=NOW,
                    updated_at=NOW,
                )
            )
            one.flavor.CopyFrom(self._world.flavors[request.flavor_id])
            made.append(self._world.add(one))
        return instance.CreateInstancesResponse(instances=made)

    def _find(self, server_id: str, project_id: str) -> Instance:
        found = self._world.instances.get(server_id)
        if found is None or (project_id and found.project_id != project_id):
            raise NotFoundError("instance", server_id)
        return found

    async def GetInstance(self, request: Any, call: Call) -> instance.GetInstanceResponse:
        return instance.GetInstanceResponse(instance=self._find(request.id, request.project_id))

    async def ListInstances(self, request: Any, call: Call) -> instance.ListInstancesResponse:
        self._world.calls.append(request)
        found = [
            one
            for one in self._world.instances.values()
            if request.filter.project_id in ("", one.project_id)
            and (not request.filter.vm_states or one.vm_state in request.filter.vm_states)
            and request.filter.host in ("", one.host)
            and (not request.filter.hosts or one.host in request.filter.hosts)
        ]
        if request.marker:
            ids = [one.id for one in found]
            if request.marker not in ids:
                raise NotFoundError("marker", request.marker)
            found = found[ids.index(request.marker) + 1 :]
        size = request.page_size or 1000
        return instance.ListInstancesResponse(instances=found[:size])

    async def UpdateInstance(self, request: Any, call: Call) -> instance.UpdateInstanceResponse:
        self._world.calls.append(request)
        old = self._find(request.instance.id, "")
        if request.instance.generation not in (0, old.generation):
            raise GenerationConflictError("instance", old.id, request.instance.generation, old.generation)
        new = Instance()
        new.CopyFrom(old)
        for path in request.update_mask.paths:
            new.ClearField(path)
        masked = Instance()
        request.update_mask.MergeMessage(request.instance, masked)
        new.MergeFrom(masked)
        new.generation = old.generation + 1
        return instance.UpdateInstanceResponse(instance=self._world.add(new))

    async def ResetInstanceState(self, request: Any, call: Call) -> instance.ResetInstanceStateResponse:
        new = Instance()
        new.CopyFrom(self._find(request.id, ""))
        new.vm_state = request.vm_state
        return instance.ResetInstanceStateResponse(instance=self._world.add(new))


class Operations:
    """OperationService."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def StartOperation(self, request: Any, call: Call) -> operation.StartOperationResponse:
        found = self._world.instances.get(request.instance_id)
        if found is None or (request.project_id and found.project_id != request.project_id):
            raise NotFoundError("instance", request.instance_id)
        if request.kind == OperationKind.OPERATION_KIND_UNPAUSE and found.vm_state != VmState.VM_STATE_PAUSED:
            raise StateConflictError(
                f"Cannot 'unpause' instance {found.id} while it is in vm_state active",
                StateConflict(
                    instance_id=found.id,
                    action="unpause",
                    vm_state=found.vm_state,
                    allowed_vm_states=[VmState.VM_STATE_PAUSED],
                ),
            )
        made = Operation(
            id=str(uuid4()),
            kind=request.kind,
            arguments=request.arguments,
            state=OperationState.OPERATION_STATE_SUCCEEDED,
            instance_id=found.id,
            project_id=found.project_id,
            user_id=call.context.user_id,
            request_id=request.request_id,
            host="host1",
            created_at=NOW,
            started_at=NOW,
            finished_at=NOW,
        )
        self._world.operations.insert(0, made)
        return operation.StartOperationResponse(operation=made, instance=found)

    async def GetOperation(self, request: Any, call: Call) -> operation.GetOperationResponse:
        for one in self._world.operations:
            if request.id in (one.id, one.request_id) and one.instance_id == request.instance_id:
                return operation.GetOperationResponse(operation=one)
        raise NotFoundError("operation", request.id)

    async def ListOperations(self, request: Any, call: Call) -> operation.ListOperationsResponse:
        found = [one for one in self._world.operations if one.instance_id == request.instance_id]
        return operation.ListOperationsResponse(operations=found)


class Flavors:
    """FlavorService."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def _find(self, flavor_id: str) -> Flavor:
        found = self._world.flavors.get(flavor_id)
        if found is None:
            raise NotFoundError("flavor", flavor_id)
        return found

    async def GetFlavor(self, request: Any, call: Call) -> flavor.GetFlavorResponse:
        return flavor.GetFlavorResponse(flavor=self._find(request.id))

    async def ListFlavors(self, request: Any, call: Call) -> flavor.ListFlavorsResponse:
        self._world.calls.append(request)
        if request.marker:
            self._find(request.marker)
        found = [
            one
            for one in self._world.flavors.values()
            if one.id > request.marker and request.name in ("", one.name)
        ]
        return flavor.ListFlavorsResponse(flavors=found[: request.page_size or None])

    async def CreateFlavor(self, request: Any, call: Call) -> flavor.CreateFlavorResponse:
        made = Flavor()
        made.CopyFrom(request.flavor)
        made.id = made.id or str(uuid4())
        if made.id in self._world.flavors:
            raise AlreadyExistsError("flavor", made.id)
        self._world.flavors[made.id] = made
        return flavor.CreateFlavorResponse(flavor=made)

    async def UpdateFlavor(self, request: Any, call: Call) -> flavor.UpdateFlavorResponse:
        new = Flavor()
        new.CopyFrom(self._find(request.flavor.id))
        for path in request.update_mask:
            new.ClearField(path)
            if path == "extra_specs":
                new.extra_specs.update(request.flavor.extra_specs)
            else:
                setattr(new, path, getattr(request.flavor, path))
        self._world.flavors[new.id] = new
        return flavor.UpdateFlavorResponse(flavor=new)

    async def DeleteFlavor(self, request: Any, call: Call) -> flavor.DeleteFlavorResponse:
        del self._world.flavors[self._find(request.id).id]
        return flavor.DeleteFlavorResponse()

    async def AddFlavorAccess(self, request: Any, call: Call) -> flavor.AddFlavorAccessResponse:
        granted = self._world.access.setdefault(request.flavor_id, [])
        if request.project_id in granted:
            raise AlreadyExistsError("flavor access", request.project_id)
        granted.append(request.project_id)
        return flavor.AddFlavorAccessResponse(project_ids=granted)

    async def RemoveFlavorAccess(self, request: Any, call: Call) -> flavor.RemoveFlavorAccessResponse:
        granted = self._world.access.get(request.flavor_id, [])
        if request.project_id not in granted:
            raise NotFoundError("flavor access", request.project_id)
        granted.remove(request.project_id)
        return flavor.RemoveFlavorAccessResponse(project_ids=granted)

    async def ListFlavorAccess(self, request: Any, call: Call) -> flavor.ListFlavorAccessResponse:
        return flavor.ListFlavorAccessResponse(project_ids=self._world.access.get(request.flavor_id, []))


class Keypairs:
    """KeypairService."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def CreateKeypair(self, request: Any, call: Call) -> keypair.CreateKeypairResponse:
        key = (request.keypair.user_id, request.keypair.name)
        if key in self._world.keypairs:
            raise AlreadyExistsError("keypair", request.keypair.name)
        made = keypair.Keypair(number=len(self._world.keypairs) + 1, created_at=NOW)
        made.MergeFrom(request.keypair)
        self._world.keypairs[key] = made
        return keypair.CreateKeypairResponse(keypair=made)

    async def GetKeypair(self, request: Any, call: Call) -> keypair.GetKeypairResponse:
        found = self._world.keypairs.get((request.user_id, request.name))
        if found is None:
            raise NotFoundError("keypair", request.name)
        return keypair.GetKeypairResponse(keypair=found)

    async def ListKeypairs(self, request: Any, call: Call) -> keypair.ListKeypairsResponse:
        of_user = (one for (user, _), one in self._world.keypairs.items() if user == request.user_id)
        found = sorted((one for one in of_user if one.name > request.marker), key=lambda one: one.name)
        size = request.page_size or 1000
        return keypair.ListKeypairsResponse(keypairs=found[:size], more=len(found) > size)

    async def DeleteKeypair(self, request: Any, call: Call) -> keypair.DeleteKeypairResponse:
        if self._world.keypairs.pop((request.user_id, request.name), None) is None:
            raise NotFoundError("keypair", request.name)
        return keypair.DeleteKeypairResponse()


class Networks:
    """NetworkService."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def ListNetworks(self, request: Any, call: Call) -> network.ListNetworksResponse:
        return network.ListNetworksResponse(networks=self._world.networks.values())

    async def GetNetwork(self, request: Any, call: Call) -> network.GetNetworkResponse:
        found = self._world.networks.get(request.id)
        if found is None:
            raise NotFoundError("network", request.id)
        return network.GetNetworkResponse(network=found)

    async def CreateNetwork(self, request: Any, call: Call) -> network.CreateNetworkResponse:
        made = Network()
        made.CopyFrom(request.network)
        made.id = str(uuid4())
        self._world.networks[made.id] = made
        return network.CreateNetworkResponse(network=made)

    async def DeleteNetwork(self, request: Any, call: Call) -> network.DeleteNetworkResponse:
        if self._world.networks.pop(request.id, None) is None:
            raise NotFoundError("network", request.id)
        return network.DeleteNetworkResponse()


class Quotas:
    """QuotaService."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def _all(self, used: int) -> list[quota.Quota]:
        # fmt: off
        names = ("instances", "cores", "ram", "metadata_items", "key_pairs", "server_groups",
                 "server_group_members", "injected_files", "injected_file_content_bytes",
                 "injected_file_path_bytes", "fixed_ips", "floating_ips", "security_groups",
                 "security_group_rules")
        # fmt: on
        limits = self._world.limits
        return [quota.Quota(resource=name, limit=limits.get(name, 10), in_use=used) for name in names]

    async def GetQuotas(self, request: Any, call: Call) -> quota.GetQuotasResponse:
        return quota.GetQuotasResponse(quotas=self._all(1 if request.with_usage else 0))

    async def GetDefaultQuotas(self, request: Any, call: Call) -> quota.GetDefaultQuotasResponse:
        return quota.GetDefaultQuotasResponse(quotas=self._all(0))

    async def UpdateQuotas(self, request: Any, call: Call) -> quota.UpdateQuotasResponse:
        self._world.limits.update(request.limits)
        return quota.UpdateQuotasResponse(quotas=self._all(0))

    async def DeleteQuotas(self, request: Any, call: Call) -> quota.DeleteQuotasResponse:
        self._world.limits.clear()
        return quota.DeleteQuotasResponse()


class Hosts:
    """HostService."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def ListHosts(self, request: Any, call: Call) -> host.ListHostsResponse:
        return host.ListHostsResponse(hosts=self._world.hosts.values())

    async def UpdateHost(self, request: Any, call: Call) -> host.UpdateHostResponse:
        old = self._world.hosts.get(request.host.name)
        if old is None:
            raise NotFoundError("host", request.host.name)
        new = Host()
        new.CopyFrom(old)
        for path in request.update_mask:
            setattr(new, path, getattr(request.host, path))
        self._world.hosts[new.name] = new
        return host.UpdateHostResponse(host=new)

    async def DeleteHost(self, request: Any, call: Call) -> host.DeleteHostResponse:
        del self._world.hosts[request.name]
        return host.DeleteHostResponse()


class Nodes:
    """NodeService."""

    def __init__(self, _: "World") -> None:
        self._conductor = str(uuid4())

    async def ListNodes(self, request: Any, call: Call) -> node_records.ListNodesResponse:
        conductor = node_records.Node(
            id=self._conductor, number=1, role="conductor", host="host0", up=True, reported_at=NOW
        )
        return node_records.ListNodesResponse(nodes=[conductor])


class Images:
    """ImageService."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def GetImage(self, request: Any, call: Call) -> image.GetImageResponse:
        found = self._world.images.get(request.image_id)
        if found is None:
            raise NotFoundError("image", request.image_id)
        return image.GetImageResponse(image=found)

    async def ListImages(self, request: Any, call: Call) -> image.ListImagesResponse:
        return image.ListImagesResponse(images=self._world.images.values())

    async def DeleteImage(self, request: Any, call: Call) -> image.DeleteImageResponse:
        if self._world.images.pop(request.image_id, None) is None:
            raise NotFoundError("image", request.image_id)
        return image.DeleteImageResponse()


class Consoles:
    """ConsoleService of a compute."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def GetConsoleOutput(self, request: Any, call: Call) -> console.GetConsoleOutputResponse:
        return console.GetConsoleOutputResponse(output=self._world.console)


CONDUCTOR = (
    (instance, "InstanceService", Instances),
    (operation, "OperationService", Operations),
    (flavor, "FlavorService", Flavors),
    (keypair, "KeypairService", Keypairs),
    (network, "NetworkService", Networks),
    (quota, "QuotaService", Quotas),
    (host, "HostService", Hosts),
    (node_records, "NodeService", Nodes),
)
