"""Requests and responses, one frame each way: inference on /p2pverify/ask/1, evidence on /p2pverify/evidence/1.

Both sides end the stream after that. The node defines the bytes inside. This module enforces the limits: sizes, times,
and which requests are served when there are too many. Protocol page: protocol/streams.md.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.limits import Rate, Shares
from p2pverify.core.roles.disputes.evidence import EVIDENCE_BYTES_MAX, EVIDENCE_REQUEST_BYTES_MAX
from p2pverify.net.border.framing import FrameTooLargeError, read_frame, write_frame
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.net.protocols.fair_queue import CrowdedError, Turns
from p2pverify.node.ports import AskError, Reply

PROTOCOL = "/p2pverify/ask/1"
EVIDENCE_PROTOCOL = "/p2pverify/evidence/1"
ANSWERED = b"\x00"
REFUSED = b"\x01"
REFUSALS = frozenset({"busy", "failed", "timeout", "too-large", "unconfirmed"})
_REASON_BYTES_MAX = 32
EVIDENCE_SECONDS_MAX = 20.0
#: Requests that one peer may make, and that all peers together may make.
RATE = Rate(per_second=8, burst=32)
POOL = Rate(per_second=64, burst=256)
ASKERS_MAX = 256

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The limits of a responder. Sizes are in bytes, times in seconds."""

    request_bytes_max: int = 64 * 1024
    response_bytes_max: int = 256 * 1024
    per_peer_max: int = 4  # open streams
    working_per_peer_max: int = 2
    working_max: int = 8
    waiting_max: int = 64
    confirm_seconds_max: float = 10.0
    read_seconds_max: float = 20.0
    serve_seconds_max: float = 300.0


def limits_within(deadline_ms: int) -> RequestLimits:
    """The limits for a network in which an answer is due within `deadline_ms`."""
    usual = RequestLimits()
    return replace(usual, serve_seconds_max=min(usual.serve_seconds_max, deadline_ms / 1000))


def evidence_limits(limits: RequestLimits) -> RequestLimits:
    """The limits for evidence, which is small and needs no computation."""
    return replace(
        limits,
        request_bytes_max=EVIDENCE_REQUEST_BYTES_MAX,
        response_bytes_max=EVIDENCE_BYTES_MAX,
        serve_seconds_max=EVIDENCE_SECONDS_MAX,
    )


@dataclass(frozen=True, slots=True)
class Speech:
    """A protocol and the names of its counters; the reason is appended to `refused`."""

    protocol: str
    answered: str
    refused: str
    succeeded: str
    failed: str


ASKS = Speech(PROTOCOL, "asks_answered", "asks_refused_", "asks_succeeded", "asks_failed")
EVIDENCE = Speech(EVIDENCE_PROTOCOL, "evidence_answered", "evidence_refused_", "evidence_succeeded", "evidence_failed")


class Requests:
    """Asks, and answers through `serve(request, source)`. Members have priority when there is not room for all.

    `speech` is the protocol of its streams.
    """

    def __init__(
        self,
        serve: Callable[[bytes, bytes], Awaitable[bytes]],
        is_member: Callable[[bytes], bool],
        limits: RequestLimits,
        counters: Counters,
        *,
        speech: Speech = ASKS,
    ) -> None:
        self._speech = speech
        self._serve = serve
        self._is_member = is_member
        self._limits = limits
        self._counters = counters
        self._open: Counter[bytes] = Counter()  # streams per peer, in any state
        self._shares = Shares(RATE, POOL, ASKERS_MAX)
        self._turns = Turns(limits.working_max, limits.working_per_peer_max, limits.waiting_max)

    async def answer(self, stream: Stream) -> None:
        """Serve one inbound stream."""
        now_ms = int(trio.current_time() * 1000)
        is_over = self._open[stream.peer] >= self._limits.per_peer_max
        if is_over or not self._shares.take(stream.peer, 1, now_ms):
            await write_frame(stream, self._refusal("busy"))
            return
        self._open[stream.peer] += 1
        try:
            await write_frame(stream, await self._answer(stream))
        finally:
            self._open[stream.peer] -= 1
            if not self._open[stream.peer]:
                del self._open[stream.peer]

    async def _answer(self, stream: Stream) -> bytes:
        with trio.move_on_after(self._limits.confirm_seconds_max):
            await stream.link.confirmed.wait()
        if not stream.link.confirmed.is_set():
            return self._refusal("unconfirmed")
        try:
            with trio.fail_after(self._limits.read_seconds_max):
                request = await read_frame(stream, self._limits.request_bytes_max)
        except FrameTooLargeError:
            return self._refusal("too-large")
        try:
            with trio.fail_after(self._limits.serve_seconds_max):
                async with self._turns.place(stream.peer, is_member=self._is_member(stream.peer)):
                    response = await self._serve(request, stream.peer)
        except CrowdedError:
            return self._refusal("busy")
        except trio.TooSlowError:
            return self._refusal("timeout")
        except RemoteProtocolError:
            raise  # the fault of the asker: its stream is reset
        except Exception:  # a bug behind the port: the asker gets an answer, and the log a trace
            log.exception("answering a request failed")
            return self._refusal("failed")
        if len(response) > self._limits.response_bytes_max:
            log.error("a response of %d bytes is beyond the limit", len(response))
            return self._refusal("failed")
        self._counters.count(self._speech.answered)
        return ANSWERED + response

    def _refusal(self, reason: str) -> bytes:
        self._counters.count(self._speech.refused + reason)
        return REFUSED + reason.encode()

    async def ask(self, link: Link, request: bytes) -> Reply:
        """Send one request over a link and wait for the response. The caller sets the deadline.

        Raises AskError. If cancelled, it resets its stream and leaves the link usable.
        """
        if len(request) > self._limits.request_bytes_max:
            raise AskError("too-large")
        try:
            async with await link.open_stream(self._speech.protocol) as stream:
                began = trio.current_time()
                await write_frame(stream, request)
                frame = await read_frame(stream, 1 + self._limits.response_bytes_max)
                elapsed = trio.current_time() - began - link.round_trips.least
        except FrameTooLargeError:
            self._counters.count(self._speech.failed)
            raise AskError("too-large") from None
        except NotSupportedError:
            self._counters.count(self._speech.failed)
            raise AskError("unreachable") from None
        except StreamBrokenError:
            self._counters.count(self._speech.failed)
            raise AskError("reset") from None
        return Reply(self._unwrap(frame), max(1, round(1000 * elapsed)))

    def _unwrap(self, frame: bytes) -> bytes:
        if frame[:1] == ANSWERED:
            self._counters.count(self._speech.succeeded)
            return frame[1:]
        self._counters.count(self._speech.failed)
        try:
            reason = frame[1 : 1 + _REASON_BYTES_MAX].decode("ascii")
        except UnicodeDecodeError:
            reason = ""
        if frame[:1] != REFUSED or reason not in REFUSALS:
            raise AskError("malformed")
        raise AskError(reason)
