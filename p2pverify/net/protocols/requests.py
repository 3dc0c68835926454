"""Requests and responses: inference on /p2pverify/request/2, evidence on /p2pverify/evidence/1, and passports.

The asker writes one frame. The responder writes the tokens of its answer in frames, as they are made, and at last one
frame with the rest of the response. Evidence and passports have that last frame only. The node defines the bytes
inside; this module enforces the limits: sizes, times, and which requests are served when there are too many. Protocol
page: protocol/streams.md.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import trio

from p2pverify.core.contract.network import Params
from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from p2pverify.core.inference.question import (
    CONTEXT_TOKENS_MAX,
    REQUEST_BYTES_MAX,
    REST_BYTES_MAX,
    TOKEN_BYTES_MAX,
)
from p2pverify.core.inference.stream import FRAME_BYTES_MAX, LAST_BYTES_MAX, AnswerReader, AnswerWriter
from p2pverify.core.limits import Rate, Shares
from p2pverify.core.proofs.exchange import PASSPORT_REQUEST_BYTES_MAX, PASSPORTS_BYTES_MAX
from p2pverify.core.roles.disputes.evidence import EVIDENCE_BYTES_MAX, EVIDENCE_REQUEST_BYTES_MAX
from p2pverify.core.settle.exchange import CHEQUE_ANSWER_BYTES_MAX, CHEQUE_BYTES_MAX
from p2pverify.net.border.framing import FrameTooLargeError, frame_bytes, read_frame, write_frame
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.net.protocols.fair_queue import CrowdedError, Turns
from p2pverify.node.ports import AskError, Hear, Reply, unheard

PROTOCOL = "/p2pverify/request/2"
EVIDENCE_PROTOCOL = "/p2pverify/evidence/1"
PASSPORT_PROTOCOL = "/p2pverify/passport/1"
CHEQUE_PROTOCOL = "/p2pverify/cheque/1"
#: The first byte of a frame: the last frame of a response, a refusal, or tokens of an answer that goes on.
LAST = b"\x00"
REFUSED = b"\x01"
TOKENS = b"\x02"
#: At most one write of tokens in this time. So the frames tell nothing of a question but the engine's speed.
RHYTHM_SECONDS = 0.05
REFUSALS = frozenset({"busy", "failed", "timeout", "too-large", "unconfirmed"})
_REASON_BYTES_MAX = 32
EVIDENCE_SECONDS_MAX = 20.0
PASSPORT_SECONDS_MAX = 20.0
PASSPORTS_OPEN_MAX = 1
CHEQUE_SECONDS_MAX = 20.0
#: Requests that one peer may make, and that all peers together may make.
RATE = Rate(per_second=8, burst=32)
POOL = Rate(per_second=64, burst=256)
ASKERS_MAX = 256

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The limits of a responder. Sizes are in bytes, times in seconds."""

    request_bytes_max: int = 64 * 1024
    response_bytes_max: int = LAST_BYTES_MAX  # of its last frame
    per_peer_max: int = 4  # open streams
    working_per_peer_max: int = 2
    working_max: int = 8
    waiting_max: int = 64
    confirm_seconds_max: float = 10.0
    read_seconds_max: float = 20.0
    serve_seconds_max: float = 300.0  # until the first token, between two tokens, and until the response
    usual_bytes: int = 64 * 1024  # of a request whose first token comes within `serve_seconds_max`
    take_seconds_max: float = 20.0  # for the asker to read the rest of a whole answer

    def first_token_s(self, request_bytes: int) -> float:
        """How long the first token of an answer may take. A long question takes an engine longer."""
        return self.serve_seconds_max * max(1, request_bytes // self.usual_bytes)


def limits_within(params: Params, context_tokens: int) -> RequestLimits:
    """The limits for a network, and for an engine that holds so many tokens.

    A request that is larger than its engine needs is refused by its length alone. The contract's deadline is for
    questions of the lengths that members owe each other.
    """
    usual = RequestLimits()
    needed = REST_BYTES_MAX + TOKEN_BYTES_MAX * min(context_tokens, CONTEXT_TOKENS_MAX)
    return replace(
        usual,
        request_bytes_max=max(usual.request_bytes_max, needed),
        serve_seconds_max=min(usual.serve_seconds_max, params.deadline_ms / 1000),
        usual_bytes=REST_BYTES_MAX + TOKEN_BYTES_MAX * (params.prompt_tokens + params.answer_tokens),
    )


def evidence_limits(limits: RequestLimits) -> RequestLimits:
    """The limits for evidence, which is small and needs no computation."""
    return replace(
        limits,
        request_bytes_max=EVIDENCE_REQUEST_BYTES_MAX,
        response_bytes_max=EVIDENCE_BYTES_MAX,
        serve_seconds_max=EVIDENCE_SECONDS_MAX,
    )


def passport_limits(limits: RequestLimits) -> RequestLimits:
    """The limits for passports, which strangers ask for."""
    return replace(
        limits,
        request_bytes_max=PASSPORT_REQUEST_BYTES_MAX,
        response_bytes_max=PASSPORTS_BYTES_MAX,
        per_peer_max=PASSPORTS_OPEN_MAX,
        serve_seconds_max=PASSPORT_SECONDS_MAX,
    )


def cheque_limits(limits: RequestLimits) -> RequestLimits:
    """The limits for cheques: one of a peer at a time."""
    return replace(
        limits,
        request_bytes_max=CHEQUE_BYTES_MAX,
        response_bytes_max=CHEQUE_ANSWER_BYTES_MAX,
        per_peer_max=1,
        serve_seconds_max=CHEQUE_SECONDS_MAX,
    )


@dataclass(frozen=True, slots=True)
class Speech:
    """A protocol and the names of its counters; the reason is appended to `refused`.

    `abandoned` counts answers that their asker did not take to the end.
    """

    protocol: str
    answered: str
    refused: str
    abandoned: str
    succeeded: str
    failed: str


ASKS = Speech(PROTOCOL, "asks_answered", "asks_refused_", "asks_abandoned", "asks_succeeded", "asks_failed")
EVIDENCE = Speech(
    EVIDENCE_PROTOCOL,
    "evidence_answered",
    "evidence_refused_",
    "evidence_abandoned",
    "evidence_succeeded",
    "evidence_failed",
)

PASSPORTS = Speech(
    PASSPORT_PROTOCOL,
    "passports_answered",
    "passports_refused_",
    "passports_abandoned",
    "passports_succeeded",
    "passports_failed",
)
CHEQUES = Speech(
    CHEQUE_PROTOCOL,
    "cheques_answered",
    "cheques_refused_",
    "cheques_abandoned",
    "cheques_succeeded",
    "cheques_failed",
)


class _RefusedError(Exception):
    """A request is not served; the reason is one of `REFUSALS`."""


class _Sender:
    """Writes the frames of one answer, at its own pace.

    Tokens that a slow asker has not read wait here, so they hold up no engine. They are at most the answer itself.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._writer = AnswerWriter()
        self._tokens: list[int] = []
        self._frames: list[bytes] = []
        self._woken = trio.Event()
        self._ended = trio.Event()
        self.is_over = False
        self.broken: StreamBrokenError | None = None

    def hear(self, tokens: Sequence[int]) -> None:
        self._tokens += tokens
        self._woken.set()

    def end(self, response: bytes, last_bytes_max: int) -> None:
        """Send the rest of a response. Raises LocalProtocolError if it is too large, or has other tokens."""
        self._cut()
        last = self._writer.last(response)
        if len(last) > last_bytes_max:
            raise LocalProtocolError(f"a last frame of {len(last)} bytes is beyond the limit")
        self._end(LAST + last)

    def refuse(self, reason: str) -> None:
        self._end(REFUSED + reason.encode())

    def _end(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._ended.set()
        self._woken.set()

    def _cut(self) -> None:
        tokens, self._tokens = self._tokens, []
        self._frames += [TOKENS + frame for frame in self._writer.frames(tokens)]

    async def run(self, give_up: Callable[[], None]) -> None:
        """Write until the end. `give_up` is called if the asker has gone."""
        try:
            while not self.is_over:
                await self._woken.wait()
                self._woken = trio.Event()
                is_last = self._ended.is_set()
                if not is_last:
                    self._cut()
                frames, self._frames = self._frames, []
                await self._stream.write(b"".join(map(frame_bytes, frames)))
                self.is_over = is_last
                with trio.move_on_after(RHYTHM_SECONDS):
                    await self._ended.wait()
        except StreamBrokenError as error:
            self.broken = error
            give_up()


class Requests:
    """Asks, and answers through `serve(request, source, hear)`. Members have priority when there is not room for all.

    `speech` is the protocol of its streams.
    """

    def __init__(
        self,
        serve: Callable[[bytes, bytes, Hear], Awaitable[bytes]],
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
            await self._refuse(stream, "busy")
            return
        self._open[stream.peer] += 1
        try:
            await self._answer(stream, await self._read(stream))
        except _RefusedError as refused:
            await self._refuse(stream, str(refused))
        finally:
            self._open[stream.peer] -= 1
            if not self._open[stream.peer]:
                del self._open[stream.peer]

    async def _read(self, stream: Stream) -> bytes:
        with trio.move_on_after(self._limits.confirm_seconds_max):
            await stream.link.confirmed.wait()
        if not stream.link.confirmed.is_set():
            raise _RefusedError("unconfirmed")
        try:
            with trio.fail_after(self._limits.read_seconds_max):
                return await read_frame(stream, self._limits.request_bytes_max)
        except FrameTooLargeError:
            raise _RefusedError("too-large") from None

    async def _answer(self, stream: Stream, request: bytes) -> None:
        """Serve a request, and write its answer meanwhile. A slow asker holds no place among the requests at work."""
        sender = _Sender(stream)
        fault: RemoteProtocolError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.run, nursery.cancel_scope.cancel)
            try:
                response = await self._respond(request, stream.peer, sender)
                sender.end(response, self._limits.response_bytes_max)
                self._counters.count(self._speech.answered)
            except RemoteProtocolError as error:  # the fault of the asker: its stream is reset
                fault = error
                nursery.cancel_scope.cancel()
            except _RefusedError as refused:
                self._counters.count(f"{self._speech.refused}{refused}")
                sender.refuse(str(refused))
            except LocalProtocolError as error:
                log.error("a response does not fit its stream: %s", error.reason)
                self._counters.count(f"{self._speech.refused}failed")
                sender.refuse("failed")
            nursery.cancel_scope.deadline = trio.current_time() + self._limits.take_seconds_max
        if fault is not None:
            raise fault
        if not sender.is_over:
            self._counters.count(self._speech.abandoned)
            raise sender.broken or trio.TooSlowError

    async def _respond(self, request: bytes, source: bytes, sender: _Sender) -> bytes:
        limits = self._limits

        def hear(tokens: Sequence[int]) -> None:
            scope.deadline = trio.current_time() + limits.serve_seconds_max
            sender.hear(tokens)

        try:
            with trio.fail_after(limits.first_token_s(len(request))) as scope:
                async with self._turns.place(source, is_member=self._is_member(source)):
                    return await self._serve(request, source, hear)
        except CrowdedError:
            raise _RefusedError("busy") from None
        except trio.TooSlowError:
            raise _RefusedError("timeout") from None
        except RemoteProtocolError:
            raise
        except Exception:  # a bug behind the port: the asker gets an answer, and the log a trace
            log.exception("answering a request failed")
            raise _RefusedError("failed") from None

    async def _refuse(self, stream: Stream, reason: str) -> None:
        self._counters.count(self._speech.refused + reason)
        await write_frame(stream, REFUSED + reason.encode())

    async def ask(self, link: Link, request: bytes, reader: AnswerReader, hear: Hear = unheard) -> Reply:
        """Send one request over a link, and read the response with `reader`. The caller sets the deadline.

        Raises AskError. If cancelled, it resets its stream and leaves the link usable.
        """
        if len(request) > REQUEST_BYTES_MAX:
            raise AskError("too-large")
        try:
            reply = await self._ask(link, request, reader, hear)
        except AskError:
            self._counters.count(self._speech.failed)
            raise
        self._counters.count(self._speech.succeeded)
        return reply

    async def _ask(self, link: Link, request: bytes, reader: AnswerReader, hear: Hear) -> Reply:
        last_max = 1 + self._limits.response_bytes_max
        try:
            async with await link.open_stream(self._speech.protocol) as stream:
                began = trio.current_time()
                await write_frame(stream, request)
                while True:
                    frame = await read_frame(stream, max(1 + FRAME_BYTES_MAX, last_max))
                    if frame[:1] != TOKENS:
                        break
                    fresh = reader.tokens(frame[1:])
                    if fresh:
                        hear(fresh)
                elapsed = trio.current_time() - began - link.round_trips.least
                if len(frame) > last_max:
                    raise AskError("too-large")
                response = reader.last(_unwrap(frame))
            if stream.dropped:
                raise AskError("malformed")  # something followed the last frame
        except FrameTooLargeError:
            raise AskError("too-large") from None
        except DecodeError:
            raise AskError("malformed") from None
        except NotSupportedError:
            protocol = self._speech.protocol
            raise AskError("unsupported", f"the peer does not speak {protocol}: it runs another version") from None
        except StreamBrokenError:
            raise AskError("reset") from None
        return Reply(response, max(1, round(1000 * elapsed)), relayed=link.relay is not None)


def _unwrap(frame: bytes) -> bytes:
    if frame[:1] == LAST:
        return frame[1:]
    try:
        reason = frame[1 : 1 + _REASON_BYTES_MAX].decode("ascii")
    except UnicodeDecodeError:
        reason = ""
    if frame[:1] != REFUSED or reason not in REFUSALS:
        raise AskError("malformed")
    raise AskError(reason)
