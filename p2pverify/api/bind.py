"""Where the local API may listen: loopback and nothing else.

The API has no user accounts, so it must not be reachable from another machine. What it answers is left to
`app` and `gate`.
"""

import ipaddress
import socket
from dataclasses import dataclass

_BACKLOG = 64
#: A reader that takes nothing for so long loses its connection; the server's own writes have no deadline.
STUCK_READER_MS = 5000


class BindError(Exception):
    """The API cannot listen where it was told to: `reason` says why, `hint` what to do."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"{reason}: {hint}")
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Bind:
    """A loopback address and a port; port 0 lets the system choose."""

    host: str  # "127.0.0.1" or "::1", or another address of 127.0.0.0/8
    port: int

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """Read "127.0.0.1:4100", "localhost:0" or "[::1]:4100". Raises BindError for whatever is not loopback."""
    host, colon, port_text = text.rpartition(":")
    well_formed = colon == ":" and port_text.isascii() and port_text.isdecimal() and len(port_text) <= 5 and host != ""
    if not well_formed or int(port_text) > 65535:
        raise BindError(
            f"{text[:80]!r} is not an address to bind the API to",
            "write it as 127.0.0.1:PORT (0 = any free port)",
        )
    if host == "localhost":
        host = "127.0.0.1"
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback or bracketed != (address.version == 6):
        raise BindError(
            f"the API does not listen on {host[:80]!r}",
            "it has no user accounts: bind it to 127.0.0.1 and forward that port if others shall reach it",
        )
    return Bind(str(address), int(port_text))


def open_listener(bind: Bind) -> tuple[socket.socket, Bind]:
    """A bound socket that does not listen yet, and where it is bound. Raises BindError."""
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
            "choose another --http address, or 127.0.0.1:0 for any free port",
        ) from error
    port: int = listener.getsockname()[1]
    return listener, Bind(bind.host, port)
