"""Runs a command that leaves daemons, and collects those when they end.

A daemon's parent becomes whoever is process 1. In a container that is often a
program that collects nobody, or late, and libvirt waits for each of its QEMU
processes to be collected: 3 s for its first look at QEMU, and more than 1 s at
each guest's end. So this stands in for process 1, for as long as there is a
child; it takes no other part. Run it as a program, with the command as arguments;
it returns the command's exit code and stays behind in another process.
"""

import ctypes
import os
import sys
from collections.abc import Sequence

_PR_SET_CHILD_SUBREAPER = 36


def main(command: Sequence[str]) -> int:
    """Run the command; return its exit code, in the process that was started."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return (os.read(reader, 1) or b"\1")[0]
    os.close(reader)
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started = os.spawnvp(os.P_NOWAIT, command[0], list(command))  # noqa: S606
    while True:
        try:
            ended, status = os.wait()
        except ChildProcessError:
            return 0
        if ended == started:
            os.write(writer, bytes((min(abs(os.waitstatus_to_exitcode(status)), 255),)))
            os.close(writer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
