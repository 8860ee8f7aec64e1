"""What a conductor counts."""

from prometheus_client import Counter, Gauge, Histogram

from novamesh.types.v1.operation_pb2 import OperationKind

HELD = Gauge("novamesh_conductor_operations_held", "Operations that this conductor works on.")
GIVEN_UP = Counter(
    "novamesh_conductor_operations_given_up", "Operations that failed for good.", ["kind", "reason"]
)
SECONDS = Histogram(
    "novamesh_conductor_operation_seconds",
    "Seconds that one attempt at an operation took.",
    ["kind"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
)


def kind_name(kind: OperationKind.ValueType) -> str:
    """A kind of operation as labels and logs show it."""
    return OperationKind.Name(kind).removeprefix("OPERATION_KIND_").lower()
