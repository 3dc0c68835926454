"""The door: who answers, what is kept, and what happens when peers, the disk or the client fail."""

import random
from dataclasses import replace

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pverify.core.contract.lengths import context_tokens
from p2pverify.core.counters import Counters
from p2pverify.core.inference.question import (
    Question,
    RequestRefused,
    decode_request,
    decode_response,
    encode_refusal,
)
from p2pverify.core.state import view
from p2pverify.core.state.score import Standing
from p2pverify.core.window import CheckPolicy
from p2pverify.node.clients import asking, line
from p2pverify.node.clients.choice import Choice
from p2pverify.node.clients.desk import LOCAL, PLACES_MAX, Client, Desk, DeskBusy
from p2pverify.node.clients.line import Requester
from p2pverify.node.clients.order import DoorError, OpenOrder, Order
from p2pverify.node.ports import AskError
from p2pverify.store.clients.receipts import StoredReceipts
from tests.support.doors import DoorBench, grown_world, open_door, own_view, shrink_context
from tests.support.networks import make_network, seeds

PROMPT = (1, *b"why is the sky blue?", 2)


def order(**changes: object) -> Order:
    usual = Order(endpoint="chat.completions", prompts=(PROMPT,), tokens_max=40, temperature_milli=800, seed=7)
    return replace(usual, **changes)


async def read(opened: OpenOrder) -> list[tuple[int, ...]]:
    """The tokens of each answer, in order."""
    found: dict[int, tuple[int, ...]] = {}
    while (piece := await opened.receive()) is not None:
        found[piece.index] = (*found.get(piece.index, ()), *piece.tokens)
    return [found[index] for index in sorted(found)]


async def asked_of(bench: DoorBench, **changes: object) -> list[tuple[int, ...]]:
    return await read(bench.door.begin(order(**changes)))


@pytest.fixture(scope="module")
def world():
    return grown_world()


@pytest.fixture
async def bench(tmp_path, world):
    with trio.fail_after(60):
        async with open_door(tmp_path, world) as opened:
            yield opened


async def test_a_trusted_peer_answers_and_the_receipt_proves_it(bench):
    """The receipt holds the signed bytes, which verify by themselves, and what the newest view says of the peer."""
    opened = bench.door.begin(order())
    (tokens,) = await read(opened)
    document = await StoredReceipts(bench.book._path).find(opened.document.id)
    assert document is not None
    kept = await bench.door.receipt(opened.document.id, LOCAL)
    assert kept == opened.document
    (answer,) = kept.answers
    request, question = decode_request(bytes.fromhex(answer.request))
    found = decode_response(bytes.fromhex(answer.response), request)
    assert found.output.tokens == tokens == answer.tokens
    assert request.responder == bench.network.asked[0] != bench.own
    assert (question.prompt, question.requester) == (PROMPT, bench.own)
    assert (answer.own, answer.standing) == (False, "trusted")
    machine = bench.world.peers[0].machine
    score = {one.peer: one for one in view.scores(machine.network, machine.fold.latest)}[request.responder]
    assert (answer.low, answer.audits) == (score.low_ppm / 1_000_000, score.audits)
    assert [event.event for event in kept.events] == ["asked", "answered", "checked"]
    assert bytes(byte for byte in tokens if byte > 2).decode() == answer.text


async def test_a_seed_gives_the_same_answer_from_any_peer(bench):
    """It does not matter who answers. Answers to one prompt differ from each other, and so do those without a seed."""
    first = await asked_of(bench)
    for _ in range(4):
        assert await asked_of(bench) == first
    assert len(set(bench.network.asked)) > 1
    several = await asked_of(bench, prompts=(PROMPT,) * 3)
    assert several[0] == first[0]
    assert len(set(several)) == 3
    assert await asked_of(bench, seed=-7) != first
    assert await asked_of(bench, seed=None) != await asked_of(bench, seed=None)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (AskError("unreachable"), "unreachable"),
        (b"\x00", "malformed"),
        (encode_refusal(RequestRefused("engine", "it failed")), "engine"),
        (None, "timeout"),
    ],
)
async def test_who_fails_is_left_out_until_the_epoch_ends(bench, fault, word, monkeypatch):
    """Another peer answers, and the receipt tells of both."""
    if fault is None:
        monkeypatch.setattr(asking, "ANSWER_S", 2)  # longer than others take to answer on a busy machine
    bad = bench.others[0]
    bench.network.faults[bad] = fault
    events = []
    for _ in range(8):
        opened = bench.door.begin(order())
        await read(opened)
        events += [(event.event, event.detail) for event in opened.document.events]
    assert bench.network.asked.count(bad) == events.count(("failed", word)) <= 1
    bench.now += bench.world.network.params.epoch_ms
    del bench.network.faults[bad]
    while bad not in bench.network.asked[-20:]:
        await asked_of(bench)


async def test_a_busy_peer_is_asked_again(bench):
    bad = bench.others[0]
    bench.network.faults[bad] = AskError("busy")
    while bench.network.asked.count(bad) < 2:
        await asked_of(bench)


async def test_without_peers_this_node_answers(bench):
    """Its own engine answers through the same protocol, with a receipt of its own."""
    for peer in bench.others:
        bench.network.faults[peer] = AskError("unreachable")
    opened = bench.door.begin(order())
    tokens = await read(opened)
    (answer,) = opened.document.answers
    assert (answer.own, answer.standing) == (True, "trusted")
    request, _ = decode_request(bytes.fromhex(answer.request))
    assert request.requester == request.responder == bench.own
    decode_response(bytes.fromhex(answer.response), request)
    assert len(bench.network.asked) == asking.PEERS_TRIED
    bench.network.faults.clear()
    bench.now += bench.world.network.params.epoch_ms
    assert await asked_of(bench) == tokens


async def test_if_nobody_can_answer_the_receipt_says_so(bench):
    """The client gets an error, and the receipt is kept all the same."""
    for peer in bench.others:
        bench.network.faults[peer] = AskError("busy")

    def fail() -> None:
        raise ValueError("no such token")

    bench.engines[bench.own].gate = fail
    opened = bench.door.begin(order(seed=12345))
    with pytest.raises(DoorError) as failed:
        await read(opened)
    assert (failed.value.code, failed.value.is_busy) == ("no_answer", True)
    kept = await bench.door.receipt(opened.document.id, LOCAL)
    assert (kept.state, kept.answers) == ("failed", ())
    assert [event.detail for event in kept.events if event.event == "failed"] == ["busy"] * 3 + ["engine"]


async def test_a_client_that_goes_away_finds_its_receipt(bench):
    """Nobody reads the answer; it is made and kept."""
    opened = bench.door.begin(order())
    receipt_id = opened.document.id
    opened._pieces.close()
    follower = bench.door.open_order(receipt_id, LOCAL)
    while not follower.is_over:
        await follower.wait_changed()
    kept = await bench.door.receipt(receipt_id, LOCAL)
    assert (kept.state, len(kept.answers)) == ("answered", 1)
    assert bench.door.statistics()["answers being made"] == 0


async def test_an_answer_without_a_kept_receipt_is_an_error(bench):
    """The end of an answer is never acknowledged before its receipt is on disk."""
    bench.book.broken = True
    with pytest.raises(DoorError) as failed:
        await asked_of(bench)
    assert failed.value.code == "not_kept"
    bench.book.broken = False
    await asked_of(bench)


async def test_no_client_sees_the_receipt_of_another(bench):
    """This holds while it is being answered, and afterwards."""
    alice, bob = Client("a", "alice"), Client("b", "bob")
    opened = bench.door.begin(order(client=alice))
    for other in (bob, LOCAL):
        assert await bench.door.receipt(opened.document.id, other) is None
    await read(opened)
    for other in (bob, LOCAL):
        assert await bench.door.receipt(opened.document.id, other) is None
        assert bench.door.open_order(opened.document.id, other) is None
    assert await bench.door.receipt(opened.document.id, alice) == opened.document


class PiecesLine(line.AnswerLine):
    """An answer that arrives in pieces of three tokens. `dies_after` pieces the first fails, and later ones may lie."""

    dies_after: int | None = None
    lies = False
    made = 0

    def __init__(self, *args):
        super().__init__(*args)
        self.number = PiecesLine.made
        PiecesLine.made += 1

    async def ask(self, hear):
        exchanged = await super().ask(lambda _: None)
        tokens = exchanged.answer.output.tokens
        if self.lies and self.number:
            tokens = (*tokens[:4], 99, *tokens[5:])
        for piece, at in enumerate(range(0, len(tokens), 3)):
            if self.number == 0 and piece == self.dies_after:
                raise line.LineFailed("reset", is_fault=True)
            hear(tokens[at : at + 3])
            await trio.lowlevel.checkpoint()
        return exchanged


async def test_tokens_come_before_the_answer_is_complete(bench, monkeypatch):
    """The client reads what a peer's engine has made while the engine still makes the rest."""
    told, whole = trio.Event(), trio.Event()

    async def slowly(self, hear):
        exchanged = await real(self, lambda _: None)
        hear(exchanged.answer.output.tokens[:1])
        await whole.wait()
        hear(exchanged.answer.output.tokens[1:])
        told.set()
        return exchanged

    real = line.AnswerLine.ask
    monkeypatch.setattr(line.AnswerLine, "ask", slowly)
    going = bench.door.begin(order())
    first = await going.receive()
    assert first is not None
    assert (len(first.tokens), told.is_set()) == (1, False)
    whole.set()
    (rest,) = await read(going)
    assert len(rest) > 1


async def test_an_answer_goes_on_where_a_peer_fell_silent(bench, monkeypatch):
    """A second peer is asked the same question, and the client gets each token once."""
    whole = await asked_of(bench)
    monkeypatch.setattr(asking, "AnswerLine", PiecesLine)
    monkeypatch.setattr(PiecesLine, "made", 0)
    monkeypatch.setattr(PiecesLine, "dies_after", 2)
    assert await asked_of(bench) == whole


async def test_an_answer_that_goes_on_otherwise_is_an_error(bench, monkeypatch):
    """What the client has got already cannot be taken back, so a differing rest is not sent."""
    monkeypatch.setattr(asking, "AnswerLine", PiecesLine)
    monkeypatch.setattr(PiecesLine, "made", 0)
    monkeypatch.setattr(PiecesLine, "dies_after", 2)
    monkeypatch.setattr(PiecesLine, "lies", True)
    opened = bench.door.begin(order())
    with pytest.raises(DoorError, match="another-answer"):
        await read(opened)


async def test_the_door_closes_with_the_node(tmp_path, world):
    """Orders that are being answered end with an error, so that no client waits for ever."""
    async with open_door(tmp_path, world) as bench:
        for peer in bench.others:
            bench.network.faults[peer] = None
        opened = bench.door.begin(order())
        await wait_all_tasks_blocked(0.05)
    with pytest.raises(DoorError, match="stopping"):
        await opened.receive()
    with pytest.raises(DoorError, match="stopping"):
        bench.door.begin(order())


@pytest.mark.parametrize("standing", list(Standing))
def test_only_peers_of_good_standing_are_chosen(world, standing, monkeypatch):
    """A peer that is suspect, convicted, gone or new is not asked; one on probation comes after all trusted ones."""
    machine = world.peers[0].machine
    bad = world.peers[1].machine.key
    real = view.scores

    def scores(network, state):
        return tuple(replace(one, standing=standing) if one.peer == bad else one for one in real(network, state))

    monkeypatch.setattr(view, "scores", scores)
    choice = Choice(own_view(machine), frozenset, random.Random(3))
    found = [candidate.peer for candidate in choice.candidates(5)]
    assert machine.key not in found
    if standing is Standing.TRUSTED:
        assert bad in found
    else:
        assert (found[-1] == bad) is (standing is Standing.PROBATION)
        assert (bad in found) is (standing is Standing.PROBATION)
    choice.note_failed(found[0], 5)
    assert found[0] not in [candidate.peer for candidate in choice.candidates(5)]
    assert found[0] in [candidate.peer for candidate in choice.candidates(6)]


def test_the_desk_counts_places():
    """All clients together have so many, each key its own number, and a rate per minute."""
    desk = Desk(4)
    alice = Client("a", per_minute=2, at_once=2)
    first = desk.take(alice, 2, 0)
    with pytest.raises(DeskBusy) as own:
        desk.take(alice, 1, 0)
    assert own.value.is_own_limit
    with pytest.raises(DeskBusy) as full:
        desk.take(LOCAL, 3, 0)
    assert not full.value.is_own_limit
    desk.take(LOCAL, 1, 0)
    first.leave()
    assert desk.taken == 1
    desk.take(alice, 1, 0).leave()
    with pytest.raises(DeskBusy) as often:
        desk.take(alice, 1, 1000)
    assert (often.value.is_own_limit, often.value.retry_after_s) == (True, 29)
    desk.take(alice, 1, 30_000).leave()


def test_a_panel_counts_as_its_answers():
    """It is never refused in the middle. The key waits for it later, and has its places taken meanwhile."""
    desk = Desk(8)
    alice = Client("a", per_minute=6, at_once=4)
    place = desk.take(alice, 1, 0)
    desk.widen(place, alice, 4, 0)
    assert desk.taken == 5
    with pytest.raises(DeskBusy, match="answers at once"):
        desk.take(alice, 1, 0)
    place.leave()
    assert desk.taken == 0
    desk.take(alice, 1, 0).leave()
    with pytest.raises(DeskBusy) as often:
        desk.take(alice, 1, 0)
    assert often.value.retry_after_s == 10
    place = desk.take(alice, 1, 10_000)
    desk.widen(place, alice, 2, 10_000)
    place.leave()
    with pytest.raises(DeskBusy) as debt:
        desk.take(alice, 1, 10_000)
    assert debt.value.retry_after_s == 30


async def test_the_answers_of_a_panel_count_against_a_key(bench):
    """A full check of three takes three of the key's four answers, so two checks leave less than none."""
    alice = Client("a", "alice", per_minute=4)
    for seed in (1001, 1002):
        await asked_of(bench, client=alice, policy=CheckPolicy(3, 1), seed=seed)
    with pytest.raises(DeskBusy, match="4 times a minute"):
        bench.door.begin(order(client=alice))


async def test_a_small_context_is_no_fault(bench, monkeypatch):
    """Peers that cannot hold a question are passed over for it, and are asked smaller ones in the same epoch."""
    for peer in bench.world.peers[1:]:
        shrink_context(monkeypatch, peer.machine, 60)
    long = bench.door.begin(order(tokens_max=64, seed=2001))
    await read(long)
    assert long.document.answers[0].own
    failed = [event.detail for event in long.document.events if event.event == "failed"]
    assert set(failed) == {line.TOO_LONG}
    short = bench.door.begin(order(tokens_max=30, seed=2002))
    await read(short)
    assert not short.document.answers[0].own
    asked = len(bench.network.asked)
    await asked_of(bench, tokens_max=64, seed=2003)
    assert len(bench.network.asked) == asked + len(bench.others) - len(failed)  # the others are not asked again


async def test_most_peers_decide_how_long_answers_usually_are(bench):
    """One peer with a small context changes nothing, and no peer makes answers short."""
    epoch, choice = bench.door.own.askers.asking.epoch, bench.door.own.askers.choice
    unknown = bench.door.own.usual_room(20)
    assert unknown == context_tokens(bench.world.network.params) - 20 <= bench.door.own.room(20)
    choice.note_context(bench.others[0], epoch, 900)
    assert bench.door.own.usual_room(20) == unknown
    for peer in bench.others[:3]:
        choice.note_context(peer, epoch, 900)
    assert bench.door.own.usual_room(20) == 880
    for peer in bench.others:
        choice.note_context(peer, epoch, 30)
    assert bench.door.own.usual_room(20) == bench.door.own.room(20)


def test_patience_grows_with_a_long_question():
    """By this node's speed if it is known, else by the contract."""
    network = make_network(seeds(3), prompt_tokens=32, answer_tokens=64, epoch_ms=10_000)
    short, long = (Question(bytes(32), (1,) * size, 46, 0, bytes(16), bytes(32)) for size in (50, 9554))

    def patience(question: Question, cost_ms: int) -> float:
        requester = Requester(network, bytes(32), bytes(32), lambda: 0, cost_ms=lambda _: cost_ms)
        return asking.Asking(requester, None, None, Counters()).patience_s(question)

    assert (patience(short, 0), patience(long, 0)) == (20, 2000)
    assert (patience(short, 500), patience(long, 30_000)) == (24, 260)


async def test_too_many_orders_are_refused_and_places_come_back(bench):
    for peer in bench.others:
        bench.network.faults[peer] = None
    stuck = [bench.door.begin(order()) for _ in range(PLACES_MAX)]
    with pytest.raises(DeskBusy):
        bench.door.begin(order())
    assert len({opened.document.id for opened in stuck}) == PLACES_MAX
