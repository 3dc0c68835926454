"""Listening sockets, and what the system is asked of connections."""

import errno
import socket
from collections.abc import Sequence

import trio

from p2pverify.node.endpoints.address import Address

_BACKLOG = 128
_KEEPALIVE_SECONDS = (15, 5, 4)  # idle, interval, tries: a peer that vanished is noticed after 35 s


class ListenError(Exception):
    """We cannot listen at the given address; the message says what to do."""


def bind(address: Address) -> trio.SocketListener:
    """Listen on an IP address. Raises ListenError if the port is taken or the address is not ours."""
    family = socket.AF_INET6 if address.kind == "ip6" else socket.AF_INET
    plain = socket.socket(family, socket.SOCK_STREAM)
    try:
        # With SO_REUSEADDR a restarted node gets its port back at once; two listeners still exclude each other.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        plain.bind((address.host, address.port))
        plain.listen(_BACKLOG)
    except OSError as error:
        plain.close()
        raise ListenError(_explain(error, address)) from error
    return trio.SocketListener(trio.socket.from_stdlib_socket(plain))


def bind_all(addresses: Sequence[Address]) -> list[trio.SocketListener]:
    """Listen on all of these addresses, or on none. Raises ListenError."""
    listeners: list[trio.SocketListener] = []
    try:
        for address in addresses:
            listeners += [bind(address)]
    except ListenError:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


def _explain(error: OSError, address: Address) -> str:
    reasons = {
        errno.EADDRINUSE: "another program uses it. Stop it, or choose another port with --listen.",
        errno.EADDRNOTAVAIL: "this machine has no such address. Use one of its own with --listen, or 0.0.0.0.",
        errno.EACCES: "not allowed. Choose a port above 1023 with --listen.",
    }
    why = reasons.get(error.errno or 0, str(error.strerror))
    return f"cannot listen on {address.host} port {address.port}: {why}"


def keep_alive(stream: trio.SocketStream) -> None:
    """Let the system notice peers that vanished without closing the connection."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    for name, value in zip(options, _KEEPALIVE_SECONDS, strict=True):
        if hasattr(socket, name):
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
