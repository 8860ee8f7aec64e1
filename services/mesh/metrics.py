"""What Prometheus sees of the mesh."""

from prometheus_client import Counter, Gauge, Histogram

CALLS = Counter(
    "novamesh_mesh_calls",
    "Calls answered, by full method name, the caller's role and the outcome: OK or the failure's class name.",
    ["method", "caller", "outcome"],
)
SECONDS = Histogram(
    "novamesh_mesh_call_seconds",
    "Seconds from a call's arrival to its answer; for streams, to their end.",
    ["method"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
STREAMS = Gauge("novamesh_mesh_open_streams", "Streamed calls being answered.", ["method"])
CERTIFICATE_END = Gauge(
    "novamesh_mesh_certificate_end_timestamp_seconds",
    "When the certificate in use ends, in seconds since the epoch.",
    ["role", "host"],
)
RENEWALS = Counter(
    "novamesh_mesh_certificate_renewals", "Attempts to renew the certificate in use.", ["role", "outcome"]
)
