"""The mesh that all roles stand on: typed calls over mutual TLS, or in memory, with one set of rules.

A role binds contracts to plain servicers (`Binding`, `Role`), a `Node` serves
them and gives channels to the others. See docs/mesh.md.
"""

from services.mesh.binding import Binding, Role, unserved
from services.mesh.certificates import Certificate
from services.mesh.context import Call, calling_as, current_call, current_context
from services.mesh.identity import Peer
from services.mesh.local import Neighbours
from services.mesh.node import Node, NodeOptions, Renewer
from services.mesh.server import Age

__all__ = [
    "Age",
    "Binding",
    "Call",
    "Certificate",
    "Neighbours",
    "Node",
    "NodeOptions",
    "Peer",
    "Renewer",
    "Role",
    "calling_as",
    "current_call",
    "current_context",
    "unserved",
]
