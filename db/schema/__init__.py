"""The tables, a module for each group of nouns. Importing this package makes `base.metadata` whole."""

from db.schema import aggregates, compute, identity, images, ledger, moves, networks, server_groups, usage

__all__ = [
    "aggregates",
    "compute",
    "identity",
    "images",
    "ledger",
    "moves",
    "networks",
    "server_groups",
    "usage",
]
