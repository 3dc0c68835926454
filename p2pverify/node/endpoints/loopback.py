"""Where the local API may listen: loopback and nothing else.

The API has no user accounts, so it must not be reachable from another machine.
"""

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bind:
    """A loopback address and a port; port 0 lets the system choose."""

    host: str  # "127.0.0.1" or "::1", or another address of 127.0.0.0/8
    port: int

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """Read "127.0.0.1:4100", "localhost:0" or "[::1]:4100". Raises ValueError for an address that is not loopback."""
    host, _, port_text = text.rpartition(":")
    is_port = port_text.isascii() and port_text.isdecimal() and len(port_text) <= 5 and int(port_text) <= 65535
    if not host or not is_port or "/" in host:
        port = port_text if is_port else "0"
        raise ValueError(f"{text[:80]!r} is not HOST:PORT, for example 127.0.0.1:{port}")
    bracketed = host.startswith("[") and host.endswith("]")
    name = host[1:-1] if bracketed else host
    try:
        address = ipaddress.ip_address("127.0.0.1" if name == "localhost" else name)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise ValueError(
            f"the API listens on loopback only, such as 127.0.0.1:{port_text}, not on {host[:80]!r}; if others shall "
            "reach it, forward that port"
        )
    if bracketed != (address.version == 6):
        raise ValueError(f"{text[:80]!r} is not HOST:PORT, for example 127.0.0.1:{port_text} or [::1]:{port_text}")
    return Bind(str(address), int(port_text))
