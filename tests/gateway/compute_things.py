"""What a Compute API of tests has: flavor, network, image, host, and instances as tests want them."""

from typing import Any
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp

from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import Host, HostInventory, HostUsage
from novamesh.types.v1.image_pb2 import Image, ImageStatus
from novamesh.types.v1.instance_pb2 import Instance, PowerState, VmState
from novamesh.types.v1.network_pb2 import Network, NetworkMode, VirtualInterface

IMAGE = "70a599e0-31e7-49b7-b260-868f441e862b"
NETWORK = "20c8acc0-f747-4d71-a389-46d078ebf047"
NOW = Timestamp(seconds=1_700_000_000, nanos=880_302_000)


def made_instance(number: int, **fields: Any) -> Instance:
    """An ACTIVE server of project demo with an address."""
    server_id = str(uuid4())
    made = Instance(
        id=server_id,
        generation=1,
        number=number,
        project_id="demo",
        user_id="u-demo",
        display_name=f"vm{number}",
        hostname=f"vm{number}",
        vm_state=VmState.VM_STATE_ACTIVE,
        power_state=PowerState.POWER_STATE_RUNNING,
        host="host1",
        node="host1.example.org",
        availability_zone="nova",
        flavor=tiny(),
        image_id=IMAGE,
        root_device_name="/dev/vda",
        key_name="k",
        metadata={"a": "b"},
        system_metadata={"image_min_disk": "1", "image_architecture": "x86_64"},
        security_groups=["default"],
        reservation_id="r-abcdefgh",
        created_at=NOW,
        updated_at=NOW,
        launched_at=NOW,
    )
    made.interfaces.append(
        VirtualInterface(
            id=str(uuid4()),
            instance_id=server_id,
            network=private(),
            mac_address="fa:16:3e:00:00:01",
            address="10.0.0.5",
            floating_addresses=["192.0.2.7"],
        )
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def tiny() -> Flavor:
    """m1.tiny."""
    return Flavor(
        id="1",
        generation=1,
        name="m1.tiny",
        vcpus=1,
        memory_mb=512,
        root_gb=1,
        is_public=True,
        rxtx_factor=1.0,
        extra_specs={"hw:cpu_policy": "shared"},
    )


def private() -> Network:
    """The network `private`."""
    return Network(
        id=NETWORK,
        label="private",
        mode=NetworkMode.NETWORK_MODE_FLAT_DHCP,
        cidr="10.0.0.0/24",
        gateway="10.0.0.1",
        bridge="br100",
        created_at=NOW,
    )


def made_host(address: str = "") -> Host:
    """host1, up."""
    return Host(
        id=str(uuid4()),
        number=1,
        name="host1",
        address=address,
        availability_zone="nova",
        inventory=HostInventory(
            vcpus=4,
            memory_mb=8192,
            disk_gb=100,
            disk_available_gb=90,
            hypervisor_type="fake",
            hypervisor_version=1000,
            hypervisor_hostname="host1.example.org",
            cpu_info='{"arch": "x86_64", "topology": {"cores": 1}}',
            host_ip="192.0.2.1",
            uptime="up 3 days",
        ),
        usage=HostUsage(vcpus=1, memory_mb=1024, disk_gb=1, instances=1),
        enabled=True,
        up=True,
        reported_at=NOW,
        created_at=NOW,
    )


def tiny_image(**fields: Any) -> Image:
    """The image `tiny`, active, 1 MiB."""
    return Image(
        **{
            "id": IMAGE,
            "name": "tiny",
            "status": ImageStatus.IMAGE_STATUS_ACTIVE,
            "size": 1 << 20,
            "disk_format": "qcow2",
            "container_format": "bare",
            "properties": {"architecture": "x86_64"},
            "created_at": NOW,
            **fields,
        }
    )
