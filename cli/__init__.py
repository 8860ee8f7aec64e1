"""The `novamesh` command: the composition root."""

import os

# gRPC's core reads this once, when it is first imported; below errors it tells of every closed connection.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
