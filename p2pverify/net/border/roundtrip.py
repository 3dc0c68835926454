"""The round-trip time of one connection: the least that was seen lately.

The system's own figure for the TCP connection is used where there is one. A peer could seem far away by answering small
questions slowly. But it cannot slow its kernel's acknowledgements without slowing everything that it sends.
"""

import struct
import sys
from collections import deque
from collections.abc import Callable

import trio
from trio import socket

RECENT = 16
_INFO_BYTES = 152
_MIN_RTT_AT = 148  # tcpi_min_rtt of Linux's struct tcp_info, in microseconds
_UNKNOWN_US = 0xFFFF_FFFF


class RoundTrips:
    """The round trips of one connection, in seconds. `system` returns the system's figure, or None."""

    def __init__(self, system: Callable[[], float | None] = lambda: None) -> None:
        self._system = system
        self._recent: deque[float] = deque(maxlen=RECENT)

    def note(self, seconds: float) -> None:
        """Note the duration of one small question and its answer."""
        self._recent.append(max(0.0, seconds))

    @property
    def least(self) -> float:
        """The least round trip in seconds. 0 if none is known, so that nothing is subtracted from measured times."""
        known = self._system()
        return min([*self._recent, *([] if known is None else [known])], default=0.0)


def tcp_round_trip(connection: trio.SocketStream) -> float | None:
    """The least round trip of a TCP connection in seconds; None if the system does not report it."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return None
    if len(info) < _INFO_BYTES:
        return None
    (microseconds,) = struct.unpack_from("=I", info, _MIN_RTT_AT)
    return None if microseconds in (0, _UNKNOWN_US) else microseconds / 1e6
