"""Full checks: what they cost, what a client gets when peers lie, fail or differ, and who is asked."""

import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
import trio

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.question import decode_request, decode_response
from p2pverify.core.plan import CheckPlan
from p2pverify.core.state import view
from p2pverify.core.state.score import Standing
from p2pverify.core.window import CheckPolicy
from p2pverify.node.clients.choice import SPEED_EPOCHS, Choice
from p2pverify.node.clients.desk import LOCAL, Client
from p2pverify.node.clients.order import DoorError, OpenOrder, Order
from p2pverify.node.clients.windows import CLIENTS_KEPT, POLICIES_KEPT, ClientWindows
from p2pverify.node.ports import AskError
from tests.support.doors import DoorBench, grown_world, open_door, own_view

PROMPT = (1, *b"why is the sky blue?", 2)
ALWAYS_3, ALWAYS_5 = CheckPolicy(3, 1), CheckPolicy(5, 1)
SEEDS = iter(range(10**6))  # peers remember what they were asked, and the world is used again


def order(**changes: object) -> Order:
    usual = Order("chat.completions", (PROMPT,), 40, 800, next(SEEDS), policy=ALWAYS_5)
    return replace(usual, **changes)


async def read(opened: OpenOrder) -> list[tuple[int, ...]]:
    """The tokens of each answer, in order."""
    found: dict[int, tuple[int, ...]] = {}
    while (piece := await opened.receive()) is not None:
        found[piece.index] = (*found.get(piece.index, ()), *piece.tokens)
    return [found[index] for index in sorted(found)]


async def answered(bench: DoorBench, **changes: object) -> tuple[OpenOrder, tuple[int, ...]]:
    opened = bench.door.begin(order(**changes))
    (tokens,) = await read(opened)
    return opened, tokens


async def refused(bench: DoorBench, **changes: object) -> tuple[OpenOrder, DoorError]:
    opened = bench.door.begin(order(**changes))
    with pytest.raises(DoorError) as failed:
        await read(opened)
    return opened, failed.value


def numbers(opened: OpenOrder) -> tuple[int, int, int, int]:
    (check,) = opened.document.checks
    assert check.majority is (opened.document.state == "answered")
    return check.answers, check.agree, check.differ, check.not_compared


@pytest.fixture(scope="module")
def world():
    return grown_world(7)


@pytest.fixture
async def bench(tmp_path, world):
    with trio.fail_after(60):
        async with open_door(tmp_path, world) as opened:
            yield opened


async def test_requests_cost_what_the_plan_says(bench):
    """100 requests with a panel of 5 in one of 10 take exactly 140 answers, all of other peers."""
    policy = CheckPolicy(panel=5, every=10)
    sizes = [len((await answered(bench, policy=policy))[0].document.answers) for _ in range(100)]
    assert len(bench.network.asked) == sum(sizes) == 140 == CheckPlan(100, 1, 5, 10).cost
    assert [Counter(sizes[at : at + 10]) for at in range(0, 100, 10)] == [Counter({1: 9, 5: 1})] * 10
    assert len({sizes[at : at + 10].index(5) for at in range(0, 100, 10)}) > 2  # the places are not all the same
    counted = bench.door.statistics()
    assert (counted["full checks"], counted["answered by peers"]) == (10, 140)
    assert "answered by this node" not in counted


async def test_a_panel_answers_and_the_receipt_holds_all(bench):
    """Each answer has its own request and signature, and the client gets its tokens once."""
    opened, tokens = await answered(bench)
    document = await bench.door.receipt(opened.document.id, LOCAL)
    assert document is not None
    assert (document.panel, document.every) == (5, 1)
    assert len({one.peer_id for one in document.answers}) == 5
    assert len({one.request for one in document.answers}) == 5
    assert [one.returned for one in document.answers] == [True] + [False] * 4
    for one in document.answers:
        request, _ = decode_request(bytes.fromhex(one.request))
        assert decode_response(bytes.fromhex(one.response), request).output.tokens == tokens
        assert one.compared == "agrees"
    assert numbers(opened) == (5, 5, 0, 0)
    assert bench.own not in bench.network.asked
    assert [event.event for event in document.events].count("compared") == 5


async def test_a_liar_is_outvoted_marked_and_left_out(bench):
    """The client gets what the majority says, and is not asked to look at the difference to get the right answer."""
    honest = (await answered(bench, seed=-1, policy=ALWAYS_3))[1]
    bench.now += 2 * bench.world.network.params.epoch_ms
    liar = bench.others[0]
    bench.lies(liar)
    for _ in range(20):
        opened, tokens = await answered(bench, seed=next(SEEDS))
        if "differs" in {one.compared for one in opened.document.answers}:
            break
    assert numbers(opened) == (5, 4, 1, 0)
    assert opened.document.answers[0].returned
    assert opened.document.answers[0].tokens == tokens
    (other,) = (one for one in opened.document.answers if one.compared == "differs")
    assert not other.returned
    assert other.tokens != tokens
    asked = len(bench.network.asked)
    for _ in range(4):
        assert numbers((await answered(bench))[0]) == (5, 5, 0, 0)
    assert liar not in bench.network.asked[asked:]
    assert (await answered(bench, seed=-1, policy=ALWAYS_3))[1] == honest


async def test_without_a_majority_there_is_no_answer(bench):
    """The error has its own code, no token reaches the client, and the receipt has all answers, marked."""
    bench.lies(*bench.others)
    opened, error = await refused(bench)
    assert (error.code, error.is_busy) == ("no_majority", False)
    assert "5 answered, 5 differ" in str(error)
    kept = await bench.door.receipt(opened.document.id, LOCAL)
    assert kept is not None
    assert (kept.state, len(kept.answers)) == ("failed", 5)
    assert {(one.returned, one.compared) for one in kept.answers} == {(False, "differs")}
    assert bench.door.statistics()["full checks without a majority"] == 1
    assert len((await refused(bench))[0].document.answers) == 5  # nobody is left out: nothing says who is wrong


async def test_two_peers_that_differ_are_no_answer(bench):
    """With a panel of two nothing says which one is wrong. Two that agree are an answer."""
    bench.lies(*bench.others[::2])
    found = set()
    for _ in range(30):
        opened = bench.door.begin(order(policy=CheckPolicy(2, 1)))
        with suppress(DoorError):
            await read(opened)
        found.add((opened.document.state, numbers(opened)))
    assert ("failed", (2, 0, 2, 0)) in found
    assert found <= {("failed", (2, 0, 2, 0)), ("answered", (2, 2, 0, 0))}


async def test_a_peer_that_fails_is_replaced(bench):
    """The next one takes its seat in the panel, and at last this node itself."""
    bench.network.faults[bench.others[0]] = AskError("unreachable")
    bench.network.faults[bench.others[1]] = AskError("busy")
    opened, _ = await answered(bench, policy=CheckPolicy(5, 1))
    assert numbers(opened) == (5, 5, 0, 0)
    failed = sorted(event.detail for event in opened.document.events if event.event == "failed")
    assert failed == ["busy", "unreachable"]
    assert [one.own for one in opened.document.answers].count(True) == 1  # four others are left
    for peer in bench.others[:3]:
        bench.network.faults[peer] = AskError("unreachable")
    bench.now += bench.world.network.params.epoch_ms
    opened, _ = await answered(bench, policy=CheckPolicy(4, 1))
    assert numbers(opened) == (4, 4, 0, 0)
    assert [one.own for one in opened.document.answers].count(True) == 1


async def test_too_few_answers_are_no_majority(bench):
    """Two equal answers are not more than half of five. So nobody gets a majority by keeping others from answering."""
    for peer in bench.others[1:]:
        bench.network.faults[peer] = AskError("unreachable")
    opened, error = await refused(bench)
    assert error.code == "no_majority"
    assert numbers(opened) == (2, 2, 0, 0)
    assert numbers((await answered(bench, policy=ALWAYS_3))[0]) == (2, 2, 0, 0)


async def test_a_stream_begins_with_the_majority(bench, monkeypatch):
    """Not with the first answer, and without waiting for a peer that is silent. The end waits for all."""
    gates = {peer_id(peer): trio.Event() for peer in bench.others}
    real = bench.network.ask

    async def gated(peer, request, **more):
        await gates[peer_id(peer)].wait()
        return await real(peer, request, **more)

    monkeypatch.setattr(bench.network, "ask", gated)
    opened = bench.door.begin(order(policy=ALWAYS_3))
    while len(opened.document.events) < 3:
        await opened.wait_changed()
    first, second, third = (gates[event.peer_id] for event in opened.document.events[:3])
    first.set()
    with trio.move_on_after(0.3) as early:
        await opened.receive()
    assert early.cancelled_caught
    second.set()
    piece = await opened.receive()
    assert piece is not None
    assert not opened.is_over
    third.set()
    assert await opened.receive() is None
    assert opened.document.answers[0].tokens == piece.tokens
    assert numbers(opened) == (3, 3, 0, 0)


async def test_each_answer_of_an_order_is_a_request_of_its_own(bench):
    """Three answers to a prompt are three requests of the window."""
    opened = bench.door.begin(order(prompts=(PROMPT,) * 6, policy=CheckPolicy(3, 3)))
    await read(opened)
    assert len(opened.document.checks) == 2
    assert len(opened.document.answers) == 4 + 2 * 3
    assert [opened.document.returned(index).index for index in range(6)] == list(range(6))


async def test_a_named_peer_alone_is_asked(bench):
    """It is not replaced, and its answers are no part of a window."""
    peer = bench.others[2]
    for _ in range(3):
        await answered(bench, peer=peer, policy=CheckPolicy(5, 1))
    assert bench.network.asked == [peer] * 3
    bench.network.faults[peer] = AskError("unreachable")
    _, error = await refused(bench, peer=peer)
    assert error.code == "no_answer"
    assert bench.network.asked == [peer] * 4
    assert (await refused(bench, peer=bytes(32)))[1].code == "no_answer"
    assert [bench.door.own.knows(each) for each in (peer, bench.own, bytes(32))] == [True, True, False]
    assert (await answered(bench, peer=bench.own))[0].document.answers[0].own


@pytest.fixture(scope="module")
def mixed():
    """Peers of two classes, whose digests say nothing of each other."""
    return grown_world(6, classes=2)


async def test_a_panel_is_of_one_class_if_it_can_be(tmp_path, mixed):
    """Here three peers of the other class can be one, and two of the own class cannot."""
    async with open_door(tmp_path, mixed) as bench:
        for _ in range(5):
            opened, _ = await answered(bench, policy=ALWAYS_3)
            assert len({one.class_ for one in opened.document.answers}) == 1
            assert numbers(opened) == (3, 3, 0, 0)


async def test_the_referee_compares_across_classes(tmp_path, mixed):
    """Liars of both classes are found."""
    async with open_door(tmp_path, mixed, referee=True) as bench:
        opened, tokens = await answered(bench)
        assert len({one.class_ for one in opened.document.answers}) == 2
        assert numbers(opened) == (5, 5, 0, 0)
        assert {one.tokens for one in opened.document.answers} == {tokens}
        classes = {peer.machine.key: peer.machine.context.class_index for peer in mixed.peers}
        bench.lies(*(next(peer for peer in bench.others if classes[peer] == index) for index in (0, 1)))
        opened, _ = await answered(bench)
        assert numbers(opened) == (5, 3, 2, 0)


async def test_the_referee_overrules_a_false_majority(tmp_path, mixed):
    """More than half give one and the same wrong answer. This node can tell that it is wrong."""
    async with open_door(tmp_path, mixed, referee=True) as bench:
        classes = {peer.machine.key: peer.machine.context.class_index for peer in mixed.peers}
        for peer in bench.others:
            if classes[peer] == 1:
                bench.lies(peer)  # three peers with the same lie
        opened, error = await refused(bench)
        assert error.code == "no_majority"
        assert numbers(opened) == (5, 0, 5, 0)


async def test_without_a_referee_they_are_not_compared(tmp_path, mixed):
    """The receipt says so, and what cannot be compared is no part of a majority."""
    async with open_door(tmp_path, mixed) as bench:
        opened, _ = await answered(bench)
        assert numbers(opened) == (5, 3, 0, 2)
        assert [one.compared for one in opened.document.answers].count("not compared") == 2
        assert bench.door.statistics()["answers not judged: RefereeUnavailable"] == 2


async def test_across_classes_the_thresholds_are_those_of_the_version(tmp_path, mixed, monkeypatch):
    """A version can have none for a class, whatever the class has."""
    one, other = mixed.network.classes
    contract = replace(mixed.network, classes=(one, replace(other, across=None)))
    monkeypatch.setattr("p2pverify.core.state.lines.versions.contract_with", lambda *_: contract)
    async with open_door(tmp_path, mixed, referee=True) as bench:
        opened, _ = await answered(bench)
        assert numbers(opened) == (5, 3, 0, 2)  # the referee of the test above judges all five


def test_windows_are_of_a_client_and_a_policy():
    """Requests of others, and under other policies, do not move the place of a check. Nothing grows without bound."""
    windows = ClientWindows(random.Random(1))
    policy, other = CheckPolicy(3, 4), CheckPolicy(5, 7)
    found = []
    for number in range(400):
        found.append(windows.panel("a", policy))
        windows.panel("b", policy)
        windows.panel("a", other)
        assert windows.panel("a", CheckPolicy(1, 4)) == 1
        if number % 3:
            windows.panel("c", CheckPolicy(3, 1))
    assert [found[at : at + 4].count(3) for at in range(0, 400, 4)] == [1] * 100
    for number in range(3 * CLIENTS_KEPT):
        windows.panel(f"client {number}", policy)
    for number in range(3 * POLICIES_KEPT):
        windows.panel("a", CheckPolicy(2, 1 + number))
    assert len(windows._clients) == CLIENTS_KEPT
    assert len(windows._clients["a"]) == POLICIES_KEPT


def scored(monkeypatch, changes):
    """Change the scores of peers in every view."""
    real = view.scores

    def scores(network, state):
        return tuple(replace(one, **changes.get(one.peer, {})) for one in real(network, state))

    monkeypatch.setattr(view, "scores", scores)


def test_a_higher_lower_end_comes_first(world, monkeypatch):
    """In steps, so that the best peer does not get all requests."""
    machine = world.peers[0].machine
    first, second, *others = [peer.machine.key for peer in world.peers[1:]]
    scored(monkeypatch, {first: {"low_ppm": 800_000}, second: {"low_ppm": 700_000}})
    view = own_view(machine)
    orders = [[one.peer for one in Choice(view, frozenset, random.Random(n)).candidates(5)] for n in range(20)]
    assert {tuple(found[-2:]) for found in orders} == {(first, second)}
    assert len({found[0] for found in orders}) > 2
    assert all(set(found[:-2]) == set(others) for found in orders)


def test_quick_and_idle_peers_come_first(world):
    """Speeds count in powers of two, and are forgotten, so that a peer that was slow once is tried again."""
    machine = world.peers[0].machine
    slow, busy, *rest = [peer.machine.key for peer in world.peers[1:]]
    choice = Choice(own_view(machine), frozenset, random.Random(3))
    for peer in (busy, *rest):
        choice.note_speed(peer, 5, 1000, 40)
    choice.note_speed(slow, 5, 5000, 40)
    with choice.asking(busy), choice.asking(busy), choice.asking(busy):
        found = [one.peer for one in choice.candidates(5)]
        assert found[-1] in (slow, busy)
        assert set(found[-2:]) == {slow, busy}
    assert [one.peer for one in choice.candidates(5)][-1] == slow
    for _ in range(12):
        choice.note_speed(slow, 5, 1000, 40)
    firsts = {Choice.candidates(choice, 5)[0].peer for _ in range(60)}
    assert slow in firsts
    choice.note_speed(slow, 5, 90_000, 40)
    assert choice.candidates(5)[-1].peer == slow
    assert any(choice.candidates(5 + SPEED_EPOCHS)[0].peer == slow for _ in range(60))


@pytest.mark.parametrize(("objectors", "asked"), [(("own", "other"), True), (("other",), False), ((), False)])
def test_a_conviction_that_this_node_contests(world, monkeypatch, objectors, asked):
    """Such a peer is asked after all others. The objection of another member is not enough."""
    machine = world.peers[0].machine
    bad, other = (peer.machine.key for peer in world.peers[1:3])
    keys = tuple({"own": machine.key, "other": other}[one] for one in objectors)
    scored(monkeypatch, {bad: {"standing": Standing.CONVICTED, "contested_by": keys}})
    found = [one.peer for one in Choice(own_view(machine), frozenset, random.Random(3)).candidates(5)]
    assert (bad in found) is asked
    assert not asked or found[-1] == bad


async def test_the_policy_of_a_client_with_a_key(bench):
    """Clients do not share windows."""
    alice, bob = Client("a", "alice"), Client("b", "bob")
    policy = CheckPolicy(3, 2)
    sizes = [
        (len((await answered(bench, client=client, policy=policy))[0].document.answers), client.id)
        for _ in range(4)
        for client in (alice, bob)
    ]
    assert Counter(sizes) == Counter({(3, "a"): 2, (3, "b"): 2, (1, "a"): 2, (1, "b"): 2})
