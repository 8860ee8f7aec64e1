"""What every connection of the mesh has in common."""

import json
from collections.abc import Iterable

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

CONTEXT_KEY = "novamesh-context-bin"
# Seconds for an answer when the caller gives no timeout. Streamed answers have no default: a watch lasts.
DEFAULT_TIMEOUT = 30.0
# Images and logs travel as streams of chunks; a message larger than this is a mistake.
MESSAGE_LIMIT = 64 * 1024 * 1024

# An rpc with such a name changes nothing, so that asking again is safe.
IDEMPOTENT_PREFIXES = ("Get", "List", "Watch", "Check", "Find", "Count", "Describe", "Lookup", "Validate")
_RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def trimmed(left: float) -> float:
    """The timeout of a call made with `left` seconds to go: shorter, so that the inner one is reported."""
    return left - min(0.25, max(0.005, left * 0.05))


def is_idempotent(method: str) -> bool:
    """Whether the method, `/package.Service/Name`, may be tried again: its name or its contract says so."""
    service, _, name = method[1:].partition("/")
    if name.startswith(IDEMPOTENT_PREFIXES):
        return True
    try:
        descriptor = descriptor_pool.Default().FindMethodByName(f"{service}.{name}")
    except KeyError:
        # Nobody in this process has imported the contract, so nobody calls it.
        return False
    return bool(
        descriptor.GetOptions().idempotency_level != MethodOptions.IdempotencyLevel.IDEMPOTENCY_UNKNOWN
    )


def service_config(methods: Iterable[str]) -> str:
    """gRPC's service config: balance over all addresses, retry what is idempotent."""
    names = []
    for method in sorted(methods):
        if is_idempotent(method):
            service, _, name = method[1:].partition("/")
            names.append({"service": service, "method": name})
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if names:
        config["methodConfig"] = [{"name": names, "retryPolicy": _RETRY}]
    return json.dumps(config)


def channel_options(expected_name: str, config: str) -> list[tuple[str, str | int]]:
    """Options of a connection to a server that must show a certificate for `expected_name`."""
    return [
        ("grpc.ssl_target_name_override", expected_name),
        ("grpc.service_config", config),
        ("grpc.max_receive_message_length", MESSAGE_LIMIT),
        ("grpc.max_send_message_length", MESSAGE_LIMIT),
        # A peer that vanished without a word is noticed within half a minute.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        # A role that restarts is found again soon.
        ("grpc.initial_reconnect_backoff_ms", 100),
        # What one attempt to connect may take, and not a pause: a busy machine needs seconds for a handshake.
        ("grpc.min_reconnect_backoff_ms", 10_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # With a new certificate, a new channel must shake hands again, not share the old one's connection.
        ("grpc.use_local_subchannel_pool", 1),
    ]
