"""A listening socket of the API. `node.endpoints.loopback` decides which addresses are allowed."""

import socket

from p2pverify.node.endpoints.loopback import Bind
from p2pverify.node.user_error import UserError

#: A reader that takes no data for this time loses its connection, because the server's own writes have no deadline.
STUCK_READER_MS = 5000


class BindError(UserError):
    """The API cannot listen at the given address: `reason` says why, `hint` says what to do."""


def open_listener(bind: Bind, *, option: str = "--http") -> tuple[socket.socket, Bind]:
    """A bound socket that does not listen yet, and its address. `option` set the address. Raises BindError."""
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted sockets inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_READER_MS)
        listener.bind((bind.host, bind.port))
    except OSError as error:
        listener.close()
        raise BindError(
            f"the API cannot listen on {bind.host} port {bind.port} ({error.strerror})",
            f"choose another {option} address, or port 0 for any free port",
        ) from error
    port: int = listener.getsockname()[1]
    return listener, Bind(bind.host, port)
