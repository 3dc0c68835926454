"""Cover requests look like owed requests, and have no effect."""

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
import trio

from p2pverify.core.contract import sortition
from p2pverify.core.inference.question import (
    CONTEXT_TOKENS_MAX,
    EXPIRY_EPOCHS,
    Question,
    Request,
    RequestRefused,
    decode_request,
    encode_refusal,
)
from p2pverify.core.roles.asker import SPREAD_PERMILLE
from p2pverify.core.roles.slot_plan import Anchor, make_plan
from p2pverify.node.cover import ENCODED_AT_ONCE, Cover, CoverPlan
from p2pverify.node.driver import Driver
from p2pverify.node.files import corpus
from p2pverify.node.files.corpus import Prompt, read_corpus, read_replay
from p2pverify.node.files.textfile import FileError
from p2pverify.node.ports import AskError, Hear, Neighbour, Reply, unheard
from tests.node.fakes import FakeEngine, FakeJournal, FakeNetwork
from tests.support.worlds import make_world

PROMPTS = tuple(Prompt(text) for text in ("why?", "how is it?", "what else is there to say of it?"))
SPREADS = {"answer_tokens": 24, "answer_spread": 8, "prompt_tokens": 40, "prompt_spread": 20, "temperature_spread": 300}
EPOCHS = 4


class Asked(FakeNetwork):
    """Takes requests, and gives each the reply that a test chose."""

    def __init__(self) -> None:
        super().__init__([])
        self.requests: list[tuple[int, bytes, Request, Question]] = []
        self.clock = lambda: 0
        self.outcome: Exception | bytes | None = AskError("unreachable")

    async def ask(self, peer: bytes, request: bytes, *, tokens_max: int = 0, hear: Hear = unheard) -> Reply:
        self.requests.append((self.clock(), peer, *decode_request(request)))
        await trio.lowlevel.checkpoint()
        if self.outcome is None:
            await trio.sleep_forever()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return Reply(self.outcome, 1)

    def neighbours(self) -> tuple[Neighbour, ...]:
        return ()


class InlineDriver(Driver):
    """Its engine takes no time, because a virtual clock does not wait for threads."""

    async def use_engine(self, do, *, model=None):
        await trio.lowlevel.checkpoint()
        assert model is None or model in self.machine.context.held
        self.jobs += 1
        return do(self.worker_engine)

    def __init__(self, machine, journal, engine, *, clock) -> None:
        super().__init__(machine, journal, engine, clock=clock)
        self.worker_engine = engine
        self.jobs = 0


class Bench:
    """One member of a network that has run for some time, with its worker, and no other activity."""

    def __init__(self, **rules: int) -> None:
        self.world = make_world(5, slots_milli=2000, **{**SPREADS, **rules})
        self.world.run_epochs(6)
        self.machine = self.world.peers[0].machine
        self.journal = FakeJournal([])
        self.network = Asked()
        self.driver = InlineDriver(self.machine, self.journal, FakeEngine(), clock=self.now_ms)
        self.network.clock = self.now_ms

    def now_ms(self) -> int:
        return self.world.now_ms + round(1000 * trio.current_time())

    async def play(self, plan: CoverPlan, epochs: int = EPOCHS, seed: int = 1) -> Cover:
        cover = Cover(self.driver, plan, dice=random.Random(seed))
        with trio.move_on_after(epochs * self.world.network.params.epoch_ms / 1000):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cover.run, self.network)
        return cover


async def test_cover_has_the_shape_of_what_is_owed(autojump_clock) -> None:
    """Questions are within the contract's ranges, to drawn members, at drawn times. Each nonce and each panel is
    new."""
    bench = Bench()
    before = bench.machine.context.ledger.statistics()
    cover = await bench.play(CoverPlan(6.0, PROMPTS))
    params, context = bench.world.network.params, bench.machine.context
    requests = bench.network.requests
    assert len(requests) == cover.statistics()["asked"] > 4 * EPOCHS
    texts = {tuple(prompt.text.encode()) for prompt in PROMPTS}
    members = set(context.fold.latest.members) - {context.key}
    for at_ms, peer, request, question in requests:
        assert peer == request.responder
        assert peer in members
        assert (request.network, request.requester) == (context.network_id, context.key)
        assert question.manifest == bench.world.network.classes[0].manifest
        assert question.prompt in texts
        assert 16 <= question.tokens_max <= 24
        assert question.temperature_milli in {0, 500, 600, 700, 800}
        assert 0 <= request.expiry_epoch - params.epoch_at(at_ms) <= EXPIRY_EPOCHS
    assert len({request.nonce for _, _, request, _ in requests}) == len(requests)
    asked = Counter(request.question for _, _, request, _ in requests)
    assert set(asked.values()) == {1, params.panel_size}
    for question, count in asked.items():
        times = [at_ms for at_ms, _, request, _ in requests if request.question == question]
        assert (len(set(times)) > 1) is (count > 1)
        assert max(times) - min(times) <= params.epoch_ms * SPREAD_PERMILLE // 1000
    assert bench.machine.context.ledger.statistics() == before
    assert bench.journal.trace == []
    assert cover.statistics()["no answer: unreachable"] == len(requests)


async def test_cover_is_drawn_as_duties_are(autojump_clock) -> None:
    """From one number, a duty and cover have the same slots, peers and questions, except for the prompt."""
    bench = Bench()
    context, params = bench.machine.context, bench.world.network.params
    epoch = params.epoch_at(bench.world.now_ms)
    cover = Cover(bench.driver, CoverPlan(params.slots_milli / 1000, PROMPTS), dice=random.Random(5))
    found = cover._draw(epoch)
    newest = context.fold.latest.path[-1]
    cut = context.fold.latest.past_of(newest)
    assert cut is not None
    plan = make_plan(context, epoch, Anchor(newest, cut))
    assert plan is not None
    beta = random.Random(5).randbytes(64)
    assert [slot for slot, _ in found] == list(sortition.slots(beta, params))
    owed = {(len(planned.targets), planned.panel.is_across) for planned in plan.slots}
    assert owed <= {(1, False), (params.panel_size, False)}
    assert {(len(panel.targets), panel.is_across) for _, panel in found} <= {(1, False), (params.panel_size, False)}


async def test_the_model_writes_where_there_is_no_corpus(autojump_clock) -> None:
    """The engine writes prompts of the slot's length, from seeds that never repeat."""
    bench = Bench()
    await bench.play(CoverPlan(4.0))
    prompts = {question.id: question.prompt for _, _, _, question in bench.network.requests}
    assert len(prompts) > EPOCHS
    assert len(set(prompts.values())) == len(prompts)
    assert all(20 <= len(prompt) <= 40 for prompt in prompts.values())


async def test_a_replayed_request_keeps_its_parameters(autojump_clock) -> None:
    bench = Bench()
    await bench.play(CoverPlan(4.0, (Prompt("asked before", 99, 1300),)))
    found = {(q.prompt, q.tokens_max, q.temperature_milli) for _, _, _, q in bench.network.requests}
    assert found == {(tuple(b"asked before"), 99, 1300)}


async def test_prompts_beyond_the_contract_are_left_out(autojump_clock, caplog) -> None:
    bench = Bench()
    await bench.play(CoverPlan(4.0, (*PROMPTS, Prompt("x" * 41), Prompt("y" * 500, 64))))
    asked = {bytes(q.prompt) for _, _, _, q in bench.network.requests}
    assert asked
    assert asked <= {prompt.text.encode() for prompt in PROMPTS}
    assert "2 prompts for cover are longer" in caplog.text
    bench = Bench()
    assert (await bench.play(CoverPlan(4.0, (Prompt("x" * 41),)))).statistics() == {}
    assert bench.network.requests == []


async def test_a_large_corpus_does_not_hold_the_engine(autojump_clock) -> None:
    """It is encoded in jobs of bounded size, and the engine can do owed jobs between them. The whole corpus is used."""
    bench = Bench()
    prompts = tuple(Prompt(f"why {number}?") for number in range(2 * ENCODED_AT_ONCE + 1))
    cover = await bench.play(CoverPlan(1.0, prompts), epochs=1)
    assert bench.driver.jobs == 3
    assert tuple(prompt for prompt, _ in cover._fitting) == prompts


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [
        (AskError("busy"), "no answer: busy"),
        (encode_refusal(RequestRefused("unknown-model", "another model")), "refused: unknown-model"),
        (b"\x00", "malformed answer"),
        (None, "no answer: timeout"),
    ],
)
async def test_whatever_comes_back_is_counted_and_forgotten(autojump_clock, outcome, counted) -> None:
    bench = Bench()
    bench.network.outcome = outcome
    cover = await bench.play(CoverPlan(3.0, PROMPTS), epochs=EPOCHS + 3)
    found = cover.statistics()
    assert set(found) == {"asked", counted}
    assert 0 < found[counted] <= found["asked"] == len(bench.network.requests)
    assert bench.journal.trace == []


async def test_no_cover_unless_wanted_nor_from_who_is_no_member(autojump_clock) -> None:
    bench = Bench()
    await bench.play(CoverPlan(0.0, PROMPTS))
    assert bench.network.requests == []
    bench.machine.context.quiet_until_ms = bench.world.now_ms + 10**9
    await bench.play(CoverPlan(4.0, PROMPTS))
    assert bench.network.requests == []


# ---------------------------------------------------------------- files


def test_a_corpus_is_a_prompt_a_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("# mine\n\n  Why? \nHow so?\n", encoding="utf-8")
    assert read_corpus(path) == (Prompt("Why?"), Prompt("How so?"))


def test_a_replay_is_a_log_of_chat_requests(tmp_path: Path) -> None:
    """Each request has one user turn, and others are ignored. An answer above a question's limit is cut."""
    requests = [
        {"model": "any", "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 40, "temperature": 0.7},
        {"messages": [{"role": "user", "content": "How so?"}]},
        {"messages": [{"role": "user", "content": "Much."}], "max_tokens": 10**6, "temperature": 0},
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]},
        {"messages": [{"role": "system", "content": "Be brief."}]},
        {"messages": [{"role": "user", "content": "Hot."}], "temperature": 3},
        ["no request"],
    ]
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(json.dumps(each) for each in requests) + "\n\n", encoding="utf-8")
    assert read_replay(path) == (Prompt("Why?", 40, 700), Prompt("How so?"), Prompt("Much.", CONTEXT_TOKENS_MAX, 0))


def test_a_replay_is_a_batch_of_openai(tmp_path: Path) -> None:
    """The request of a batch's line is in its `body`. Text may come in parts, and a limit may have its newer name."""
    parts = [{"type": "text", "text": "How "}, {"type": "text", "text": "so?"}]
    bodies = [
        {"messages": [{"role": "user", "content": "Why?"}], "max_completion_tokens": 40, "temperature": 0.7},
        {"messages": [{"role": "user", "content": parts}]},
    ]
    lines = [{"custom_id": str(n), "method": "POST", "url": "/v1/chat", "body": body} for n, body in enumerate(bodies)]
    path = tmp_path / "batch.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert read_replay(path) == (Prompt("Why?", 40, 700), Prompt("How so?"))


def test_what_is_left_out_of_a_replay_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each kind of line without a prompt is reported with its count, even if no prompt is left."""
    image = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "x"}}]
    left_out = [
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "a"}]},
        {"messages": [{"role": "user", "content": image}]},
        {"messages": [{"role": "user", "content": "hot"}], "temperature": 9},
        {"messages": [{"role": "user", "content": "a\ud800"}]},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "user", "content": "x" * (corpus.LINE_CHARS_MAX + 1)}]},
        {"body": {"input": "to be embedded"}},
        {"response": {"body": {}}},
        ["no request"],
        7,
    ]
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(map(json.dumps, left_out)), encoding="utf-8")
    with pytest.raises(FileError, match=r"no prompt in it, only .*\(4\)"):
        read_replay(path)
    good = {"messages": [{"role": "user", "content": "Why?"}]}
    path.write_text("\n".join(map(json.dumps, [good, *left_out])), encoding="utf-8")
    assert read_replay(path) == (Prompt("Why?"),)
    (said,) = caplog.messages
    assert "1 prompts taken" in said
    assert [int(count) for count in re.findall(r"\((\d+)\)", said)] == [4, 2, 3, 1, 2]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no prompt"),
        (b"# nothing\n", "no prompt"),
        (b"\xff\xfe", "UTF-8"),
        (b"x" * (corpus.LINE_CHARS_MAX + 1), "characters"),
        (b"why?\n" * (corpus.PROMPTS_KEPT + 1), "prompts"),
        (b"\n" * (corpus.FILE_BYTES_MAX + 1), "bytes"),
    ],
)
def test_corpora_that_are_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(data)
    with pytest.raises(FileError, match=reason):
        read_corpus(path)
    with pytest.raises(FileError, match="no such file"):
        read_corpus(tmp_path / "absent.txt")


@pytest.mark.parametrize("line", ["why?", "{", "[" * 100_000])
def test_a_replay_that_is_no_json_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(f'{{"messages": []}}\n{line}\n', encoding="utf-8")
    with pytest.raises(FileError, match="line 2 is not JSON"):
        read_replay(path)
