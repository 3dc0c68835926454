"""Cases of states: their bytes and roots, and the first states of networks that go on from a cut."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vectorgen import amendments, examples, folds, keychanges, line_folds, report_folds, round_folds
from vectorgen.case import Case
from vectorgen.examples import ALICE, BOB, CAROL, NETWORK

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.canon import Value, decode, encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.settle.books import POOL, Account, Books, Claim, Pledge
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.codec.sections import STATE_BYTES_MAX, decode_state, encode_state, leaves_of
from p2pverify.core.state.fork import fork, forked_network, read_start, write_start
from p2pverify.core.state.history.notes import LiveDataset
from p2pverify.core.state.state import Loss, State, genesis
from tests.support.money import TARIFF

UP = 4715
LOST = [DisputeKey(ALICE.key, epoch, 0) for epoch in (3, 4, 5)]


def shown_leaves() -> tuple[bytes, bytes]:
    """The header and the first member leaf of the state at the example cut."""
    leaves = leaves_of(NETWORK.id, examples.first_state())
    return leaves["header"][0], leaves["members"][0]


def contested() -> State:
    """Bob has lost three disputes. Alice objects to the decisions of two of them, and Carol to one."""
    state = replace(examples.first_state())
    state.members = {peer: replace(member) for peer, member in state.members.items()}
    row = state.members[BOB.key]
    row.agreements, row.dissents, row.disputes_lost = 30, 4, 4
    row.cusum, row.losses = 3 * UP - 1000, tuple(Loss(each, UP) for each in LOST)
    state.members[CAROL.key].credits = frozenset((ALICE.key,))
    state.reports = {(ALICE.key, 11): sha256(b"a report")}
    state.contested = {
        LOST[0]: frozenset((ALICE.key, CAROL.key)),
        LOST[1]: frozenset((ALICE.key,)),
        LOST[2]: frozenset((CAROL.key,)),
    }
    return state


def offering() -> State:
    """Alice offers two data sets, and has erased a row of one of them."""
    state = replace(examples.first_state())
    whole = LiveDataset(ALICE.key, sha256(b"root"), 100, sha256(b"schema"), 1000, state.epoch, state.index)
    less = replace(whole, root=sha256(b"less"), rows=99, erasures=1, erased=1)
    state.datasets = {sha256(b"one"): whole, sha256(b"two"): less}
    return state


def parted(story: folds.Story) -> State:
    """The newest state of a story beside whose path a cut was supported, and another one was not."""
    state = replace(story.state)
    (base_id, base), (after, _) = list(state.past.items())[-2:]
    cut = replace(state.cuts[after], base=base_id, moved=state.cuts[after].moved[1:])
    one, two = sha256(b"supported"), sha256(b"not supported")
    (peer, row), (gone, _) = sorted(base.members.items())[:2]
    members = {key: each for key, each in base.members.items() if key != gone}
    members[peer] = row._replace(weight=1 - row.weight)
    state.cuts = {**state.cuts, one: cut, two: replace(cut, vrf_key=sha256(b"other"))}
    found = replace(base, epoch=cut.epoch, index=base.index + 1, beacon=sha256(b"beacon"), members=members)
    state.beside = {one: found, two: None}
    state.forgotten = {sha256(b"silent"): state.index - 1}
    return state


def paid() -> tuple[Network, State]:
    """A network with a tariff: Alice earned, Bob owes, Carol pledges and gave cheques to both."""
    network = replace(NETWORK, tariff=TARIFF)
    state = replace(examples.first_state())
    series = {(CAROL.key, 1000): Claim(900, 9, 200, {24: 100, 26: 300})}
    accounts = {
        ALICE.key: Account(-40, {(24, POOL): 100, (24, BOB.key): 70}, answers=90, audits=10, training=70),
        BOB.key: Account(-80, forfeited=5),
    }
    pledges = {(0, CAROL.key): Pledge(1000, 2, 6)}
    state.books = Books(accounts, {ALICE.key: series, BOB.key: series}, pledges, -50)
    return network, state


def private() -> tuple[Network, State]:
    """A dispute about a private report, whose audit has the id of the request alone."""
    story = report_folds.Story(report_folds.CROWD)
    key = story.report(report_folds.WRONG, is_private=True)
    story.cut()
    assert story.book.fold.latest.disputes[key].round.is_named
    return story.network, replace(story.book.fold.latest)


# ---------------------------------------------------------------- bytes of states


def _state(comment: str, network: Network, state: State) -> Case:
    data = encode_state(network.id, state)
    expect = {"network": network.id.hex(), "root": state_root(network.id, state).hex()}
    return {"comment": comment, "input": {"state": data.hex()}, "expect": expect, "reason": None}


def _reason(read: Callable[[], object]) -> str | None:
    """Why a reader refuses, or None."""
    try:
        read()
    except DecodeError as refused:
        return refused.reason
    return None


def _encoded(network: Network, state: State) -> bytes:
    return encode_state(network.id, state)


def _no_state(comment: str, data: bytes, reason: str) -> Case:
    found = _reason(lambda: decode_state(data))
    assert found == reason, f"{comment}: {found}"
    return {"comment": comment, "input": {"state": data.hex()}, "expect": "reject", "reason": reason}


def _changed(data: bytes, section: str, change: Callable[[list[Value]], list[Value]]) -> bytes:
    top = decode(data, size_max=STATE_BYTES_MAX)
    assert isinstance(top, list)
    assert isinstance(top[1], list)
    parts = []
    for part in top[1]:
        assert isinstance(part, list)
        name, leaves = part
        assert isinstance(leaves, list)
        parts.append([name, change(leaves) if name == section else leaves])
    return encode([top[0], parts])


def _states(story: folds.Story) -> list[Case]:
    data = encode_state(NETWORK.id, examples.first_state())
    blank, tale, rounds = bytes(32), line_folds.told(), round_folds.told()
    voting = rounds.book.fold.state(rounds.cuts[round_folds.SEALED].id)
    replays = round_folds.replayed()
    repeating = replays.book.fold.state(replays.cuts[round_folds.TAINTED].id)
    waiting = replays.book.fold.state(replays.cuts[round_folds.WAITING].id)
    reported = round_folds.reported()
    changes = keychanges.Story()
    disclosed = reported.book.fold.state(reported.cuts[round_folds.DISCLOSED].id)
    assert voting is not None
    assert disclosed is not None
    assert repeating is not None
    assert waiting is not None
    return [
        _state("three founders, before any record", NETWORK, genesis(NETWORK)),
        _state("three founders have joined", NETWORK, examples.first_state()),
        _state("contested losses", NETWORK, contested()),
        _state("a private report whose nine named seats seal", *private()),
        _state("two data sets", NETWORK, offering()),
        _state("four peers, one of which is convicted, with open parts", story.network, story.state),
        _state("two cuts beside the path, one of which was supported", story.network, parted(story)),
        _state("accounts, claims and a pledge", *paid()),
        _state("amended rules, and two open amendments", NETWORK, amendments.amended()),
        _state("versions of a model, and members that serve them", tale.network, replace(tale.book.fold.latest)),
        _state("a row that waits to move", changes.network, replace(changes.waiting)),
        _state("a row that has moved to another key", changes.network, replace(changes.latest)),
        _state("a training round whose results are sealed", rounds.network, replace(voting)),
        _state("an erasure that waits for the end of a round", replays.network, replace(waiting)),
        _state("losses that owners report", reported.network, replace(disclosed)),
        _state("a round that is repeated", replays.network, replace(repeating)),
        _state("training rounds that are over", rounds.network, replace(rounds.book.fold.latest)),
        _no_state("another version", data.replace(b"state/1", b"state/0"), "not a state of this version"),
        _no_state("an early end", data[:-1], "truncated"),
        _no_state("two headers", _changed(data, "header", lambda leaves: leaves * 2), "a state has one header"),
        _no_state(
            "sections in another order",
            encode(["p2pverify/state/1", _parts(data)[::-1]]),
            "not the sections of a state",
        ),
        _no_state(
            "members out of order",
            _changed(data, "members", lambda leaves: leaves[::-1]),
            "members: not sorted and distinct",
        ),
        _no_state(
            "one member twice",
            _changed(data, "members", lambda leaves: [leaves[0], *leaves]),
            "members: not sorted and distinct",
        ),
        _no_state(
            "a weight of 2",
            _changed(data, "members", lambda leaves: [_heavier(leaves[0]), *leaves[1:]]),
            "members: weight: number: above 1",
        ),
        _no_state(
            "forks out of order",
            _changed(data, "early-conflicts", lambda _: [encode([blank, [[2, 1], False, 0]])]),
            "early-conflicts: forks: not sorted and distinct",
        ),
        _no_state(
            "a member that serves no version",
            _changed(data, "served", lambda _: [encode([blank, [1]])]),
            "served: ServedVersion: not 2 items",
        ),
        _no_state(
            "a line without notes",
            _changed(data, "lines", lambda _: [encode([0, []])]),
            "lines: LineNotes: not 6 items",
        ),
        _no_state(
            "earlier cuts with a gap",
            _changed(data, "past", lambda leaves: [_moved(leaves[0], 7)]),
            "past: not the cuts before this one",
        ),
        _no_state(
            "an earlier cut that differs in nothing",
            _changed(data, "past", lambda leaves: [_idle(leaves[0])]),
            "members: no difference",
        ),
        _no_state(
            "a cut beside the path that is not remembered",
            _changed(data, "beside", lambda _: [encode([blank, None])]),
            "beside: a cut that is not remembered",
        ),
        _no_state(
            "records of a later cut",
            _changed(data, "recent", lambda _: [encode([2, []])]),
            "recent: not the newest cuts",
        ),
        _no_state(
            "half an id",
            _changed(data, "recent", lambda _: [encode([1, [[blank, [0, bytes(16)]]]])]),
            "recent: ids: not of 32 bytes each",
        ),
        _no_state(
            "more escrow than is owed",
            _changed(_encoded(*paid()), "claims", lambda _: [encode([blank, [[[blank, 1], [5, 1, 6, []]]]])]),
            "claims: more is settled than was owed, or none",
        ),
        _no_state(
            "a section of accounts alone",
            encode(["p2pverify/state/1", [*_parts(data), list[Value](("accounts", []))]]),
            "not the sections of a state",
        ),
        _no_state(
            "two sets of rules",
            _changed(
                _encoded(NETWORK, amendments.amended()),
                "rules",
                lambda leaves: [leaves[0], encode([2, _items(leaves[0])[1]])],
            ),
            "rules: more than one",
        ),
        _no_state(
            "rules that are no definition",
            _changed(data, "rules", lambda _: [encode([1, [blank, 1, 1, b"", [], 0]])]),
            "rules: definition: truncated",
        ),
        _no_state(
            "a key of 31 bytes", _changed(data, "banned", lambda _: [encode([blank[1:], "x"])]), _not("banned", 32)
        ),
    ]


def _not(section: str, size: int) -> str:
    return f"{section}: bytes: not {size} bytes"


def _parts(data: bytes) -> list[Value]:
    top = decode(data, size_max=STATE_BYTES_MAX)
    assert isinstance(top, list)
    assert isinstance(top[1], list)
    return top[1]


def _items(leaf: Value) -> list[Value]:
    assert isinstance(leaf, bytes)
    items = decode(leaf, size_max=len(leaf))
    assert isinstance(items, list)
    return items


def _moved(leaf: Value, index: int) -> Value:
    return encode([index, *_items(leaf)[1:]])


def _idle(leaf: Value) -> Value:
    """A leaf of an earlier cut that removes a member which it does not know."""
    index, cut, changes = _items(leaf)
    assert isinstance(changes, list)
    assert isinstance(changes[2], list)
    changes[2].insert(0, list[Value]((bytes(32), None)))
    return encode([index, cut, changes])


def _heavier(leaf: Value) -> Value:
    assert isinstance(leaf, bytes)
    peer, row = decode(leaf, size_max=len(leaf))  # type: ignore[misc,str-unpack]
    assert isinstance(row, list)
    return encode([peer, [*row[:11], 2, *row[12:]]])


# ---------------------------------------------------------------- first states


def _forked(comment: str, network: Network, state: State, cut_id: bytes, behind: list[bytes], *away: bytes) -> Case:
    first = fork(state, behind, away)
    made = forked_network(network, cut_id, first)
    inputs = {
        "network": network.encode().hex(),
        "cut": cut_id.hex(),
        "state": encode_state(network.id, state).hex(),
        "behind": [peer.hex() for peer in behind],
        "away": [peer.hex() for peer in away],
    }
    expect = {"first": write_start(made, first).hex(), "network": made.encode().hex()}
    return {"comment": comment, "input": inputs, "expect": expect, "reason": None}


def _refused(comment: str, network: Network, data: bytes, reason: str) -> Case:
    found = _reason(lambda: read_start(network, data))
    assert found == reason, f"{comment}: {found}"
    inputs = {"network": network.encode().hex(), "first": data.hex()}
    return {"comment": comment, "input": inputs, "expect": "reject", "reason": reason}


def _first_states(story: folds.Story) -> list[Case]:
    state, cut_id = examples.first_state(), examples.CUT_RECORD.id
    first = fork(state, (CAROL.key,))
    made = forked_network(NETWORK, cut_id, first)
    wrong: list[tuple[str, State, str]] = [
        (
            "a head",
            replace(first, heads=state.heads, tails=state.tails),
            "a network cannot begin with open parts of another one",
        ),
        ("an active member", state_of(state, first), "a network begins with a row that is active or of no class"),
        ("no weight", weightless(first), "nobody has weight at the beginning"),
        (
            "accounts without a tariff",
            replace(first, books=Books()),
            "a network begins with accounts exactly if it has a tariff, and without pledges",
        ),
    ]
    honest = [peer for peer in sorted(story.state.members) if not story.state.members[peer].is_convicted]
    return [
        _forked("nobody is left behind", NETWORK, state, cut_id, []),
        _forked("a founder is left behind", NETWORK, state, cut_id, [CAROL.key]),
        _forked("a founder is left behind, and another one is away", NETWORK, state, cut_id, [CAROL.key], BOB.key),
        _forked("losses that a remaining member contests", NETWORK, contested(), cut_id, [CAROL.key]),
        _forked(
            "a convicted peer, and another one that is left behind",
            story.network,
            story.state,
            story.state.id,
            honest[:1],
        ),
        _refused(
            "the state of another fork",
            made,
            write_start(made, fork(state)),
            "not the state that the network definition names",
        ),
        *(
            _refused(comment, (bad := forked_network(NETWORK, cut_id, each)), write_start(bad, each), reason)
            for comment, each, reason in wrong
        ),
    ]


def state_of(state: State, first: State) -> State:
    """A first state with the rows of a state in which peers are active."""
    return replace(first, members=state.members)


def weightless(first: State) -> State:
    return replace(first, members={peer: replace(member, weight=0) for peer, member in first.members.items()})


def cases() -> dict[Path, list[Case]]:
    story = folds.Story()
    return {Path("state"): _states(story), Path("forked-state"): _first_states(story)}
