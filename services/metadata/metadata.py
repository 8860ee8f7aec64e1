"""MetadataService: documents about one guest."""

from novamesh.conductor.v1.instance_service_pb2 import GetInstanceByAddressRequest, GetInstanceRequest
from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceStub
from novamesh.conductor.v1.password_service_pb2 import SetPasswordRequest
from novamesh.conductor.v1.password_service_pb2_grpc import PasswordServiceStub
from novamesh.failures import InvalidArgumentError, NotFoundError, PermissionDeniedError
from novamesh.metadata.v1 import metadata_service_pb2 as contract
from novamesh.types.v1.instance_pb2 import Instance
from services.mesh import Call, Node
from services.metadata import documents
from services.metadata.openstack import Source
from services.metadata.options import MetadataOptions
from services.metadata.records import RecentInstances


class MetadataServicer:
    """novamesh.metadata.v1.MetadataService over the conductor's records."""

    def __init__(self, node: Node, options: MetadataOptions) -> None:
        self._node = node
        self._options = options
        self._vendordata = options.vendordata.strip().encode()
        self._recent = RecentInstances(options.metadata_cache_expiration, options.metadata_cache_size)

    async def GetMetadata(
        self, request: contract.GetMetadataRequest, call: Call
    ) -> contract.GetMetadataResponse:
        """Answer one path."""
        instance = await self._guest(request)
        content_type, body = documents.read(self._source(instance), request.path)
        return contract.GetMetadataResponse(content_type=content_type, body=body)

    async def SetPassword(
        self, request: contract.SetPasswordRequest, call: Call
    ) -> contract.SetPasswordResponse:
        """Have the conductor keep what the guest has chosen."""
        instance = await self._guest(request)
        stub = PasswordServiceStub(self._node.channel("conductor"))
        await stub.SetPassword(
            SetPasswordRequest(instance_id=instance.id, password=request.password),
            timeout=self._options.rpc_timeout,
        )
        self._recent.forget(instance.id)
        return contract.SetPasswordResponse()

    async def GetConfigDrive(
        self, request: contract.GetConfigDriveRequest, call: Call
    ) -> contract.GetConfigDriveResponse:
        """Render every file of a config drive."""
        # Never from the cache: the record has only just been given its host and cards.
        instance = await self._by_id(request.instance_id)
        if call.peer.role == "compute" and instance.host != call.peer.host:
            raise PermissionDeniedError(
                "metadata:config_drive", f"Instance {instance.id} is not on {call.peer.host}."
            )
        return contract.GetConfigDriveResponse(
            files=[
                contract.ConfigDriveFile(path=path, content=content)
                for path, content in documents.config_drive(self._source(instance))
            ]
        )

    async def _guest(self, request: contract.GetMetadataRequest | contract.SetPasswordRequest) -> Instance:
        """The instance that a request is about. Raises NotFoundError, InvalidArgumentError."""
        if request.instance_id:
            id = request.instance_id
            instance = await self._recent.get(f"id {id}", lambda: self._by_id(id))
        elif request.address:
            address = request.address
            instance = await self._recent.get(address, lambda: self._by_address(address))
        else:
            raise InvalidArgumentError("address", "An address or an instance_id is needed.")
        if request.project_id and request.project_id != instance.project_id:
            raise NotFoundError("instance", request.instance_id)
        return instance

    def _source(self, instance: Instance) -> Source:
        return Source(instance, self._options.dhcp_domain, self._vendordata)

    async def _by_id(self, id: str) -> Instance:
        stub = InstanceServiceStub(self._node.channel("conductor"))
        answer = await stub.GetInstance(GetInstanceRequest(id=id), timeout=self._options.rpc_timeout)
        return answer.instance

    async def _by_address(self, address: str) -> Instance:
        stub = InstanceServiceStub(self._node.channel("conductor"))
        request = GetInstanceByAddressRequest(address=address)
        answer = await stub.GetInstanceByAddress(request, timeout=self._options.rpc_timeout)
        return answer.instance
