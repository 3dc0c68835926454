"""Where the local API may listen: loopback and nothing else. The gateway for clients with keys may listen anywhere.

The API has no user accounts, so it must not be reachable from another machine.
"""

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bind:
    """An IP address and a port; port 0 lets the system choose."""

    host: str  # for the API "127.0.0.1" or "::1", or another address of 127.0.0.0/8
    port: int

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """Read "127.0.0.1:4100", "localhost:0" or "[::1]:4100". Raises ValueError for an address that is not loopback."""
    address, port, shown = _parse(text)
    if address is None or not address.is_loopback:
        raise ValueError(
            f"the API listens on loopback only, such as 127.0.0.1:{port}, not on {shown!r}; if others shall "
            "reach it, forward that port, or use --gateway"
        )
    return _bind(text, address, port)


def parse_gateway(text: str) -> Bind:
    """Read "0.0.0.0:8080" or "[::]:8080": any IP address of this machine. Raises ValueError."""
    address, port, shown = _parse(text)
    if address is None or address.is_multicast:
        raise ValueError(f"the gateway listens on an IP address, such as 0.0.0.0:{port}, not on {shown!r}")
    return _bind(text, address, port)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _parse(text: str) -> tuple[_Address | None, int, str]:
    """The address, None if it is none; the port; and the host as it was given, shortened. Raises ValueError."""
    host, _, port_text = text.rpartition(":")
    is_port = port_text.isascii() and port_text.isdecimal() and len(port_text) <= 5 and int(port_text) <= 65535
    if not host or not is_port or "/" in host:
        port = port_text if is_port else "0"
        raise ValueError(f"{text[:80]!r} is not HOST:PORT, for example 127.0.0.1:{port}")
    name = host[1:-1] if _is_bracketed(host) else host
    try:
        address = ipaddress.ip_address("127.0.0.1" if name == "localhost" else name)
    except ValueError:
        address = None
    return address, int(port_text), host[:80]


def _is_bracketed(host: str) -> bool:
    return host.startswith("[") and host.endswith("]")


def _bind(text: str, address: _Address, port: int) -> Bind:
    if _is_bracketed(text.rpartition(":")[0]) != (address.version == 6):
        raise ValueError(f"{text[:80]!r} is not HOST:PORT, for example 127.0.0.1:{port} or [::1]:{port}")
    return Bind(str(address), port)
