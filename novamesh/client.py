"""Call a role of a novamesh cloud from any program, over mutual TLS, with types, in one call.

    from novamesh.client import connect_async
    from novamesh.conductor.v1.instance_service_pb2 import GetInstanceRequest
    from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceStub

    async with connect_async("127.0.0.1:8790", "conductor", ".novamesh/certs") as channel:
        answer = await InstanceServiceStub(channel).GetInstance(GetInstanceRequest(id="..."), timeout=5)

`connect` is the same for programs without asyncio. The folder holds ca.pem and a
certificate with its key: `admin.pem` and `admin-key.pem`, as `novamesh up`
writes them, unless another name is given. A call that fails raises gRPC's own
RpcError; `failure_in` finds the novamesh.failures class in it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
from cryptography import x509
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from novamesh.failures import DOMAIN, FAILURES, Failure

_DETAILS_KEY = "grpc-status-details-bin"
_SCHEME = "spiffe://"
# An image's chunk or a page of a thousand instances is far smaller.
_MESSAGE_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True)
class _Credentials:
    credentials: grpc.ChannelCredentials
    cluster: str


def connect(
    address: str, role: str, certificates: str | os.PathLike[str], name: str = "admin"
) -> grpc.Channel:
    """A channel to `role` at `host:port` (or another target of gRPC's, such as `dns:///name:port`).

    The server must show a certificate of the same cloud for that role. Raises
    OSError when a file is missing and ValueError when the certificate is not a
    mesh certificate. Connecting happens at the first call.
    """
    read = _read(Path(certificates), name)
    return grpc.secure_channel(address, read.credentials, options=_options(role, read.cluster))


def connect_async(
    address: str, role: str, certificates: str | os.PathLike[str], name: str = "admin"
) -> grpc.aio.Channel:
    """`connect` for asyncio."""
    read = _read(Path(certificates), name)
    return grpc.aio.secure_channel(address, read.credentials, options=_options(role, read.cluster))


def failure_in(error: grpc.RpcError) -> Failure | None:
    """The failure that a role raised, rebuilt with its typed detail; None when gRPC itself failed."""
    trailing = getattr(error, "trailing_metadata", lambda: ())()
    for key, value in trailing or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return decode_failure(value)
    return None


def decode_failure(encoded: bytes) -> Failure | None:
    """The failure in the bytes of a google.rpc.Status; None when it isn't one of ours."""
    try:
        status = status_pb2.Status.FromString(encoded)
        info = error_details_pb2.ErrorInfo()
        if len(status.details) < 2 or not status.details[0].Unpack(info) or info.domain != DOMAIN:
            return None
        cls = FAILURES.get(info.reason)
        if cls is None:
            return None
        detail = cls.detail_type()
        if not status.details[1].Unpack(detail):
            return None
    except DecodeError:
        return None
    return cls.from_detail(status.message, detail)


def _read(folder: Path, name: str) -> _Credentials:
    chain = (folder / f"{name}.pem").read_bytes()
    credentials = grpc.ssl_channel_credentials(
        (folder / "ca.pem").read_bytes(), (folder / f"{name}-key.pem").read_bytes(), chain
    )
    return _Credentials(credentials, _cluster(chain, folder / f"{name}.pem"))


def _cluster(chain: bytes, path: Path) -> str:
    extensions = x509.load_pem_x509_certificate(chain).extensions
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
        if uri.startswith(_SCHEME):
            return uri.removeprefix(_SCHEME).partition("/")[0]
    raise ValueError(f"{path} names no {_SCHEME} id: it is not a certificate of a novamesh cloud")


def _options(role: str, cluster: str) -> list[tuple[str, str | int]]:
    return [
        ("grpc.ssl_target_name_override", f"{role}.{cluster}.mesh"),
        ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
        ("grpc.max_send_message_length", _MESSAGE_LIMIT),
    ]
