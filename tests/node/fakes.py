"""Fakes for a driver's surroundings, and a machine that a test scripts."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import trio

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.events import Effect, Event, StoredAnswer, StoredEvidence
from p2pverify.core.inference.compare import TokenScores
from p2pverify.core.machine import Machine
from p2pverify.core.records.floors import Prune
from p2pverify.core.settle.exchange import StoredCredit
from p2pverify.core.snapshot.messages import StateRequest
from p2pverify.node import ports
from p2pverify.node.endpoints.reach import UNKNOWN, Reach
from p2pverify.node.journal import History, Kept
from p2pverify.node.ports import Generated, Hear, ModelInfo, Neighbour, Reply, unheard
from tests.support.networks import MANIFEST


@dataclass
class FakeJournal:
    """A slow disk: every write waits until the test opens the gate."""

    trace: list[str] = field(default_factory=list)
    gate: trio.Event | None = None
    error: Exception | None = None
    writing: trio.Event = field(default_factory=trio.Event)
    kept: list[Kept] = field(default_factory=list)
    answers: list[StoredAnswer] = field(default_factory=list)
    evidence: list[StoredEvidence] = field(default_factory=list)
    credit: list[StoredCredit] = field(default_factory=list)
    history: History = "window"
    pruned: list[Prune] = field(default_factory=list)

    async def persist(
        self,
        records: Sequence[Kept],
        answers: Sequence[StoredAnswer],
        evidence: Sequence[StoredEvidence] = (),
        evidence_from: int = 0,
        credit: Sequence[StoredCredit] = (),
        prune: Prune | None = None,
    ) -> None:
        self.pruned += [] if prune is None else [prune]
        self.trace.append(f"writing {len(records)}+{len(answers)}")
        self.writing.set()
        if self.gate is not None:
            await self.gate.wait()
        else:
            await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        self.kept += records
        self.answers += answers
        self.credit += credit
        self.evidence = [*(e for e in self.evidence if e.epoch >= evidence_from), *evidence]
        self.trace.append("written")

    def statistics(self) -> dict[str, int]:
        return {"records": len(self.kept), "bytes": 4096, "free_bytes": 1 << 30}


@dataclass
class FakeNetwork:
    """A network that keeps everything that it was given. `reply` answers requests."""

    trace: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    reply: Callable[[bytes, bytes], bytes | Exception | None] = lambda peer, request: b"response"
    peers: tuple[Neighbour, ...] = ()
    excluded: list[frozenset[bytes]] = field(default_factory=list)
    relayed: bool = False

    def publish_nowait(self, message: bytes) -> None:
        self.trace.append("published")
        self.messages.append(message)

    async def ask(self, peer: bytes, request: bytes, *, tokens_max: int = 0, hear: Hear = unheard) -> Reply:
        self.trace.append("asked")
        await trio.lowlevel.checkpoint()
        reply = self.reply(peer, request)
        if reply is None:
            await trio.sleep_forever()
        if isinstance(reply, Exception):
            raise reply
        return Reply(reply, 1, self.relayed)

    async def fetch(self, peer: bytes, request: bytes) -> bytes:
        return (await self.ask(peer, request)).data

    async def pay(self, peer: bytes, request: bytes) -> bytes:
        return (await self.ask(peer, request)).data

    async def fetch_blob(self, peer: bytes, sha256: bytes, offset: int, length: int) -> bytes:
        raise AssertionError("no test of a whole node fetches files")

    async def fetch_state(self, peer: bytes, request: StateRequest) -> bytes:
        raise AssertionError("no test of a whole node fetches states")

    def exclude(self, peers: frozenset[bytes]) -> None:
        self.excluded.append(peers)

    def neighbours(self) -> Sequence[Neighbour]:
        return self.peers

    def reach(self) -> Reach:
        return UNKNOWN

    def addresses(self) -> Sequence[str]:
        return ("/ip4/127.0.0.1/tcp/4747",)

    def statistics(self) -> dict[str, int]:
        return {"links": len(self.peers)}


@dataclass
class FakeEngine:
    """An engine that hashes. It fails for prompts that begin with 666."""

    jobs: list[str] = field(default_factory=list)

    @property
    def info(self) -> ModelInfo:
        m = MANIFEST
        return ModelInfo(
            m.model,
            m.weights,
            m.tokenizer,
            m.template,
            "toy",
            "any",
            m.quantisation,
            m.licence,
            512,
            256,
        )

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        self.jobs.append("write")
        return tuple(hashlib.sha256(seed).digest()[:tokens_max])

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        self.jobs.append(f"answer {ask.prompt[0]}")
        if ask.prompt[0] == 666:
            raise ValueError("no such token")
        key = ask.sampler_key if ask.temperature_milli else b""
        made = hashlib.sha256(repr(ask.prompt).encode() + key).digest()
        for token in made[: ask.tokens_max]:
            hear((token,))
        return Generated(Output(tuple(made[: ask.tokens_max]), "length"), 1, 2)

    def score(self, ask: Ask, tokens: Sequence[int]) -> TokenScores:
        """A token's margin is its distance from the token that would be picked."""
        self.jobs.append(f"score {ask.prompt[0]}")
        picked = self.answer(replace(ask, tokens_max=len(tokens))).output.tokens
        deficits = tuple(abs(token - best) for token, best in zip(tokens, picked, strict=True))
        return TokenScores(deficits, deficits, picked, (False,) * len(picked), bytes(32))

    def encode_chat(self, text: str, system: str = "") -> tuple[int, ...]:
        return tuple(text.encode())

    def encode_text(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode(errors="replace")

    def close(self) -> None:
        self.jobs.append("close")


class ScriptedMachine(Machine):
    """A machine whose effects a test chooses. It wants no ticks."""

    def __init__(self, network: Network, seed: bytes) -> None:
        super().__init__(network, seed, 0, MANIFEST, 512)
        self.events: list[Event] = []
        self.script: Callable[[Event], list[Effect]] = lambda event: []
        self._heard = trio.Event()

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        self.events.append(event)
        self._heard.set()
        self._heard = trio.Event()
        return self.script(event)

    async def wait_events(self, kind: type, count: int = 1) -> list[Event]:
        """Wait until `count` events of a kind have come."""
        while len(found := [event for event in self.events if isinstance(event, kind)]) < count:
            await self._heard.wait()
        return found

    def next_wake_ms(self, now_ms: int) -> int:
        return now_ms + 1_000_000


def check_ports(journal: FakeJournal, network: FakeNetwork, engine: FakeEngine) -> None:
    """Lets the type checker verify that the fakes fulfil the ports."""
    _network: ports.NetworkPort = network
    _engine: ports.Engine = engine
