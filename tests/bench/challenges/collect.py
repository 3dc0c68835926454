"""Requests as a responder sees them: owed challenges and cover from the real machines, and ordinary requests from a
model of clients. The bundled model writes the prompts of challenges. Time is virtual."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import trio
from trio.testing import MockClock

from p2pverify.api.openai.routes import TEMPERATURE
from p2pverify.cli.setup.shapes import LEAST
from p2pverify.core.contract.observed import ObservedRequest, table_of
from p2pverify.core.contract.shapes import RequestShape
from p2pverify.core.events import Compute, Computed, Send
from p2pverify.core.inference.question import EXPIRY_EPOCHS, Question, Request, decode_request
from p2pverify.engine.gguf.weights import bundled
from p2pverify.engine.language import open_language
from p2pverify.node.clients.language import Message
from p2pverify.node.cover import Cover, CoverPlan
from p2pverify.node.driver import Driver
from p2pverify.node.files.corpus import Prompt
from p2pverify.node.ports import AskError, Engine, Hear, Reply, unheard
from p2pverify.testnet.world.peer.actor import Actor
from p2pverify.testnet.world.peer.engine import Job, Outcome, Say, SimulatedEngine
from p2pverify.testnet.world.peer.peer import Peer
from p2pverify.testnet.world.peer.versions import MANIFEST
from tests.node.fakes import FakeJournal, FakeNetwork
from tests.support.worlds import make_world, watching

PEERS = 6
BLOCK_EPOCHS = 4
RULES: dict[str, Any] = {
    "epoch_ms": 20_000,
    "slots_milli": 2000,
    "panel_size": 3,
    "greedy_percent": 20,
    "prompt_tokens": 32,
    "prompt_spread": 16,
    "answer_tokens": 64,
    "answer_spread": 32,
    "temperature_milli": 800,
    "temperature_spread": 300,
}
#: The choices of clients that do not use the defaults: an assumption, not measured.
FREE_TEMPERATURES = (0, 0, 200, 500, 700, 700, 700, 800, 1000, 1000)
FREE_LENGTHS = (16, 32, 50, 64, 100, 128, 150, 200, 256, 256, 500, 512)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request at one responder."""

    at_ms: int
    responder: bytes
    request: Request
    question: Question
    expires_in: int
    text: str


class PromptingEngine(SimulatedEngine):
    """A simulated engine that writes the prompts of a real one. `prompts` are those that any peer has written."""

    def __init__(self, engine: Engine, prompts: dict[tuple[bytes, int], tuple[int, ...]]) -> None:
        super().__init__(250, 350, 0)
        self._engine = engine
        self._prompts = prompts

    def outcome(self, job: Job, total_ms: int, say: Say) -> Outcome:
        """The outcome for a prompt of a real model. A simulated answer follows from bytes, so tokens are folded."""
        if isinstance(job, Compute) and job.prompt_seed is not None:
            key = (job.prompt_seed, job.prompt_tokens)
            if key not in self._prompts:
                self._prompts[key] = self._engine.write_prompt(*key)
            job = replace(job, prompt_seed=None, ask=job.asked(self._prompts[key]))
        folded = replace(job, ask=replace(job.ask, prompt=tuple(token % 256 for token in job.ask.prompt)))
        found = super().outcome(folded, total_ms, say)
        return replace(found, prompt=job.ask.prompt) if isinstance(found, Computed) else found


class Recorded:
    """A network with prompts of a real model. All requests are noted when they are sent.

    With `shapes` its owed questions follow this table instead of the ranges of RULES.
    """

    def __init__(self, engine: Engine, seed: int, shapes: tuple[RequestShape, ...] = ()) -> None:
        self.engine = engine
        self.sent: list[tuple[int, bytes]] = []
        prompts: dict[tuple[bytes, int], tuple[int, ...]] = {}

        def see(_actor: Actor, told: object, now_ms: int) -> None:
            if isinstance(told, Send):
                self.sent.append((now_ms, told.data))

        self.world = make_world(
            PEERS,
            seed=seed,
            make=watching(see),
            engine=lambda _: PromptingEngine(engine, prompts),
            contract=lambda usual: replace(usual, params=replace(usual.params, shapes=shapes)),
            **RULES,
        )
        self.network = self.world.network


class _Driver(Driver):
    """Its engine takes no virtual time."""

    def __init__(self, machine, engine, clock) -> None:
        super().__init__(machine, FakeJournal([]), engine, clock=clock)
        self.whole_engine = engine

    async def use_engine(self, do):  # type: ignore[override]
        await trio.lowlevel.checkpoint()
        return do(self.whole_engine)


class _Listening(FakeNetwork):
    """Notes the requests and answers none."""

    def __init__(self, clock: Callable[[], int]) -> None:
        super().__init__([])
        self.sent: list[tuple[int, bytes]] = []
        self._clock = clock

    async def ask(self, peer: bytes, request: bytes, *, tokens_max: int = 0, hear: Hear = unheard) -> Reply:
        self.sent.append((self._clock(), request))
        await trio.lowlevel.checkpoint()
        raise AskError("unreachable")


def record(
    engine: Engine, blocks: int, prompts: Sequence[Prompt], seed: int, shapes: tuple[RequestShape, ...] = ()
) -> dict[str, list[Seen]]:
    """Challenges of `blocks` blocks of epochs, and cover of the same epochs: from a corpus, and written by the
    model."""
    recorded = Recorded(engine, seed, shapes)
    world = recorded.world
    world.run_epochs(BLOCK_EPOCHS)
    plans = {"corpus": CoverPlan(2.0, tuple(prompts)), "model": CoverPlan(2.0)}
    found: dict[str, list[Seen]] = {"challenge": [], **{name: [] for name in plans}}
    for block in range(blocks):
        recorded.sent.clear()
        world.run_epochs(BLOCK_EPOCHS)
        found["challenge"] += [_seen(recorded, at_ms, data) for at_ms, data in recorded.sent]
        for name, plan in plans.items():
            for peer in world.peers:
                dice = random.Random(f"{name}/{seed}/{block}/{peer.number}")
                found[name] += [_seen(recorded, at_ms, data) for at_ms, data in _cover(recorded, peer, plan, dice)]
    return found


def _cover(recorded: Recorded, peer: Peer, plan: CoverPlan, dice: random.Random) -> list[tuple[int, bytes]]:
    """A peer's cover in the following epochs, drawn as if they were the epochs that have just passed."""
    start = recorded.world.now_ms

    def clock() -> int:
        return start + round(1000 * trio.current_time())

    async def play() -> list[tuple[int, bytes]]:
        network = _Listening(clock)
        cover = Cover(_Driver(peer.machine, recorded.engine, clock), plan, dice=dice)
        begin = trio.current_time()
        with trio.move_on_after(BLOCK_EPOCHS * recorded.network.params.epoch_ms / 1000):
            await cover.run(network)
        return [(at_ms - round(1000 * begin), data) for at_ms, data in network.sent]

    return trio.run(play, clock=MockClock(autojump_threshold=0))


def _seen(recorded: Recorded, at_ms: int, data: bytes) -> Seen:
    request, question = decode_request(data)
    expires_in = request.expiry_epoch - recorded.network.params.epoch_at(at_ms)
    return Seen(at_ms, request.responder, request, question, expires_in, recorded.engine.decode(question.prompt))


def ordinary(
    engine: Engine, like: Sequence[Seen], prompts: Sequence[str], count: int, seed: int, *, shape: str
) -> list[Seen]:
    """Requests of clients on the nodes of the same peers, as they come through the door: conversations of one human
    message in the template, at any time, each to one peer.

    By `shape`, lengths and temperatures are drawn like the contract's ("contract"), are those of the door for a client
    that names none ("door"), or typical choices of API users ("free").
    """
    language = open_language(bundled())
    dice = random.Random(f"ordinary/{seed}/{shape}")
    requesters = sorted({seen.request.requester for seen in like})
    first, last = min(seen.at_ms for seen in like), max(seen.at_ms for seen in like)
    found = []
    chosen = dice.sample(list(prompts), min(count, len(prompts)))
    for text in chosen:
        asker, responder = dice.sample(requesters, 2)
        prompt = language.chat([Message("user", text)], engine.info.context_tokens - 1)
        most, heat = _shape(dice, shape, engine.info.context_tokens - len(prompt))
        question = Question(MANIFEST.digest, prompt, most, heat, dice.randbytes(16), asker)
        request = Request(like[0].request.network, asker, responder, question.id, dice.randbytes(32), 0)
        shown = engine.decode(question.prompt)
        found.append(Seen(dice.randrange(first, last), responder, request, question, EXPIRY_EPOCHS, shown))
    return found


def observed(engine: Engine, prompts: Sequence[str], seed: int, *, shape: str) -> tuple[RequestShape, ...]:
    """The table that `network shapes` makes from such requests of clients."""
    dice, frame = random.Random(f"observed/{seed}/{shape}"), len(engine.encode_chat(""))
    found = []
    for text in prompts:
        whole = len(engine.encode_chat(text))
        room = engine.info.context_tokens - whole
        most, heat = _shape(dice, shape, room)
        found.append(ObservedRequest(whole - frame, 0 if most >= room else most, heat))
    return table_of(found, LEAST)


def _shape(dice: random.Random, shape: str, room: int) -> tuple[int, int]:
    """The largest number of tokens and the temperature times 1000 that a client requests. `room` is the most tokens."""
    if shape == "door":
        return room, round(1000 * TEMPERATURE)
    if shape == "free":
        return dice.choice(FREE_LENGTHS), dice.choice(FREE_TEMPERATURES)
    most = RULES["answer_tokens"] - dice.randrange(RULES["answer_spread"] + 1)
    heat = RULES["temperature_milli"] - 100 * dice.randrange(RULES["temperature_spread"] // 100 + 1)
    return most, 0 if dice.random() < RULES["greedy_percent"] / 100 else heat
