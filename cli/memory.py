"""How a process that runs for months treats its memory."""

import ctypes
import gc

# Parameter of glibc's mallopt (malloc.h), and its value in bytes.
M_MMAP_THRESHOLD = -3
LARGE_BLOCK = 4 << 20


def give_back_large_blocks() -> None:
    """Make the C library give blocks of 4 MiB and more back to the system as soon as they are free.

    By itself glibc learns from the first such block that more will come, and keeps them: the 19 MiB in
    which a password is hashed would stay for good, a seventh of an idle cloud. Does nothing where the C
    library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def settle() -> None:
    """Let the garbage collector skip all that there is by now: modules, contracts, schemas, roles.

    It stays as long as the process does, and a full collection of it would hold up every call for 50 ms.
    """
    gc.collect()
    gc.freeze()
