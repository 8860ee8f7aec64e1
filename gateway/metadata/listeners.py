"""Sockets on addresses that may come later."""

import os
import socket
from collections.abc import Iterable

# linux/in.h; the socket module has no name for it. Binds to an address that no interface has yet.
_IP_FREEBIND = 15


def open_listeners(hosts: Iterable[str], port: int, reuse_port: bool = False) -> list[socket.socket]:
    """A listening TCP socket on each IPv4 address, whether it is there yet or not.

    `reuse_port` lets several processes share them. Raises OSError that names address and port.
    """
    listeners: list[socket.socket] = []
    for host in hosts:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listeners.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setblocking(False)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except OSError as error:
            for opened in listeners:
                opened.close()
            why = os.strerror(error.errno or 0)
            raise OSError(
                error.errno,
                f"metadata can't listen on {host}:{port}: {why}; "
                "[metadata_api] metadata_listen_port moves it",
            ) from error
    return listeners
