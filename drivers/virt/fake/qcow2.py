"""The smallest disk that qemu-img takes for a qcow2: a header, and tables that say that nothing is written.

Layout: QEMU's docs/interop/qcow2.txt, version 3.
"""

import struct

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
# An entry of the first table stands for a cluster full of entries, each for a cluster of data.
_COVERED = CLUSTER // 8 * CLUSTER
# The first table has one cluster.
LARGEST = CLUSTER // 8 * _COVERED
_MAGIC = b"QFI\xfb"
_HEADER = ">4sIQIIQIIQQIIQQQQII"
_REFCOUNT_ORDER = 4


def empty_qcow2(size: int) -> bytes:
    """A disk of `size` bytes, of LARGEST at most, that reads as zeros."""
    size = min(size, LARGEST)
    tables = -(-size // _COVERED)
    # Header, table of reference counts, reference counts, first table: a cluster each.
    header = struct.pack(
        _HEADER, _MAGIC, 3, 0, 0, CLUSTER_BITS, size, 0, tables, 3 * CLUSTER, CLUSTER, 1, 0, 0, 0, 0, 0,
        _REFCOUNT_ORDER, struct.calcsize(_HEADER),
    )  # fmt: skip
    clusters = (header, struct.pack(">Q", 2 * CLUSTER), struct.pack(">4H", 1, 1, 1, 1), b"")
    return b"".join(cluster.ljust(CLUSTER, b"\0") for cluster in clusters)
