"""Asks the router to forward a port to this node: UPnP, by miniupnpc, only if the operator wants it.

The library blocks, so it works in a thread. A router's word proves nothing: dial-back says whether the port is open.
"""

import ipaddress
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from p2pverify.core.counters import Counters
from p2pverify.node.endpoints.address import Address

MAP_SECONDS_MAX = 5.0
DISCOVER_MS = 2000
LEASE_SECONDS = 3600
AGAIN_SECONDS = 1800.0
AGAIN_SOON_SECONDS = 300.0
_NAME = "p2pverify"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MappedPort:
    """The router's address in the internet, and the port that it forwards."""

    host: str
    port: int


#: Has a TCP port of this machine forwarded. Blocks. Raises MappingError.
MapPort = Callable[[int], MappedPort]


class MappingError(Exception):
    """The router forwards nothing; the reason is for people."""


def map_port(port: int) -> MappedPort:
    """Ask the router of the local network. Blocks. Raises MappingError."""
    import miniupnpc  # noqa: PLC0415 - few nodes need it

    client = miniupnpc.UPnP(discoverdelay=DISCOVER_MS)
    try:
        if client.discover() == 0:
            raise MappingError("no router of the local network answers")
        client.selectigd()
        host = str(client.externalipaddress())
        client.addportmapping(port, "TCP", client.lanaddr, port, _NAME, "", LEASE_SECONDS)
    except MappingError:
        raise
    except Exception as error:  # noqa: BLE001  # the library raises plain exceptions with the router's text
        raise MappingError(f"the router refuses ({str(error)[:80]})") from None
    return MappedPort(host, port)


def public_address(mapped: MappedPort) -> Address:
    """The address to tell other peers. Raises MappingError: a router behind another router has no public address."""
    try:
        ip = ipaddress.ip_address(mapped.host)
    except ValueError:
        raise MappingError("the router names no address of its own") from None
    if not ip.is_global:
        raise MappingError(f"the router is itself behind another one, at {ip}")
    return Address(f"ip{ip.version}", str(ip), mapped.port)


class PortMapping:
    """Keeps the first IPv4 port forwarded. `told` is the router's address, `failed` says why there is none."""

    def __init__(self, map_one: MapPort, counters: Counters) -> None:
        self._map = map_one
        self._counters = counters
        self._limiter = trio.CapacityLimiter(1)
        self.told = ""
        self.failed = ""

    async def run(self, listening: Sequence[Address], changed: Callable[[Sequence[Address]], None]) -> None:
        """Ask, and ask again before the lease ends, until cancelled."""
        port = next((address.port for address in listening if address.kind == "ip4"), None)
        if port is None:
            self.failed = "this node does not listen on IPv4"
            return
        while True:
            before = self.told
            found = await self._ask(port)
            self.told = "" if found is None else str(found)
            if self.told != before:
                changed(() if found is None else (found,))
            await trio.sleep(AGAIN_SOON_SECONDS if found is None else AGAIN_SECONDS)

    async def _ask(self, port: int) -> Address | None:
        try:
            with trio.fail_after(MAP_SECONDS_MAX):
                mapped = await trio.to_thread.run_sync(
                    self._map,
                    port,
                    limiter=self._limiter,
                    abandon_on_cancel=True,  # type: ignore[call-arg]  # the installed stubs are of an older trio
                )
            address = public_address(mapped)
        except MappingError as error:
            self._counters.count("upnp_failed")
            self.failed = str(error)
            log.info("UPnP: %s", error)
            return None
        except trio.TooSlowError:
            self._counters.count("upnp_failed")
            self.failed = f"the router does not answer within {MAP_SECONDS_MAX:g} s"
            return None
        self.failed = ""
        self._counters.count("upnp_mapped")
        return address
