"""A state that was read from its bytes is the same state: the same root, view and next states."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from p2pverify.core.blind.values import OpenedAnswer, Round, Sealed
from p2pverify.core.contract.manifest import Calibration
from p2pverify.core.contract.network import Network, decode_network
from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import Receipt
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.judge import FAR_FUTURE
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads.data import Erasure
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.report import AnswerReport, sealed_nonce
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.load import take_records
from p2pverify.core.settle.books import Account, Books, Claim, Pledge
from p2pverify.core.state import rows as state_rows
from p2pverify.core.state.codec import lines, money, rows, sections, verdicts
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.codec.sections import (
    STATE_BYTES_MAX,
    decode_state,
    encode_state,
    leaves_of,
    root_of,
    sections_of,
)
from p2pverify.core.state.history.notes import LiveDataset
from p2pverify.core.state.lines.notes import AT_FIRST, LineNotes
from p2pverify.core.state.state import LOST_DISPUTES, Contact, EarlyConflict, Loss, Member, State, genesis
from p2pverify.core.state.verdicts.notes import AuditNote, Dispute, DutyNote
from p2pverify.core.state.view import dispute_rows, score_rows, view_root
from p2pverify.testnet.world.peer.engine import ACROSS
from tests.core.state.bounds.authors import conflict_of
from tests.support.datasets import dataset_of
from tests.support.lines import NOTICE, PUBLISHERS, LineStory, manifest_of, publishers_of
from tests.support.networks import MANIFEST, make_network, seeds
from tests.support.steps import Steps, key
from tests.support.worlds import make_world

VECTORS = Path(__file__).parents[4] / "protocol" / "vectors" / "fold"
#: What a state does not write: the names of the cut, what follows from the rest, and what no later step reads.
LEFT_OUT = {"id", "convicted", "row_digests", "decided", "changed", "contracts", "panels", "hashed"}
HEADER = {"epoch", "index", "beacon", "path", "admitted_epoch", "sponsored_epoch", "rested_epoch"}

Told = tuple[Network, list[bytes]]


def read_again(network_id: bytes, state: State) -> State:
    return decode_state(encode_state(network_id, state)).state.named(state.id)


class ReadFold(Fold):
    """A fold whose states were all read from their bytes before anything was built on them."""

    def _compute(self, cut_id: bytes) -> tuple[State | None, str | None]:
        state, fault = super()._compute(cut_id)
        return None if state is None else read_again(self.network_id, state), fault


def folded(kind: type[Fold], told: Told) -> Fold:
    network, records = told
    fold = kind(network, Ledger())
    for _ in take_records(fold, Rules(network, network.id, FAR_FUTURE), records, lambda _number, _why: None):
        fold.settle()
    return fold


def vectors() -> Iterator[Any]:
    """The records of the fold vectors that stand alone: disputes, committees, forks, convictions, leaves."""
    for file in sorted(VECTORS.glob("*.json")):
        for case in json.loads(file.read_text(encoding="utf-8")):
            if case["reason"] is None and "like" not in case["input"]:
                records = [bytes.fromhex(data) for data in case["input"]["records"]]
                network = decode_network(bytes.fromhex(case["input"]["network"]))
                yield pytest.param((network, records), id=case["comment"])


@cache
def hostile() -> Told:
    """A short network with peers that lie, contradict themselves, report falsely, and claim hardware."""
    kinds = {0: "always-wrong", 1: "equivocator", 2: "double-signer", 3: "slanderer"}
    world = make_world(11, seed=5, kinds=kinds, hardware="two cores", fork_epochs=4, spot_check_permille=500)
    world.run_epochs(14)
    ledger = world.peers[-1].machine.context.ledger
    assert len(world.peers[-1].machine.fold.latest.convicted) > 1
    return world.network, [record.data for record in ledger.records()]


@pytest.fixture(scope="module", params=[*vectors(), pytest.param("hostile", id="hostile")])
def told(request: pytest.FixtureRequest) -> Told:
    return hostile() if request.param == "hostile" else request.param


def seen(fold: Fold) -> list[tuple[bytes, bytes, list[bytes], list[bytes], bytes, bytes]]:
    """What a fold says of each cut that it keeps, and of all records held."""
    found = [fold.kept(cut_id) for cut_id in sorted(fold._states)]
    states = [*found, fold.provisional(fold.latest.epoch + 1)]
    network = fold.network
    return [
        (
            state.id,
            view_root(network, state),
            score_rows(network, state),
            dispute_rows(state),
            state_root(network.id, state),
            root_of(leaves_of(network.id, state)),
        )
        for state in states
        if state is not None
    ]


def test_a_fold_of_states_that_were_read_goes_on_alike(told: Told) -> None:
    one, two = folded(Fold, told), folded(ReadFold, told)
    assert one.latest.index > 0
    assert all(roots == whole for *_, roots, whole in seen(one))
    assert seen(one) == seen(two)
    assert one._certified.keys() == two._certified.keys()
    assert one._faults == two._faults
    assert one._outcomes == two._outcomes


def test_a_state_that_was_read_is_equal(told: Told) -> None:
    """Each field, and not only the bytes."""
    fold = folded(Fold, told)
    for cut_id in sorted(fold._states):
        state = fold._states[cut_id]
        again = read_again(fold.network_id, state)
        for name in {each.name for each in fields(State)} - LEFT_OUT | {"id", "convicted"}:
            if not name.startswith("_"):
                assert getattr(again, name) == getattr(state, name), name


def filled(states: Iterable[State]) -> set[str]:
    return {each.field for state in states for each in sections_of(bytes(32)) if getattr(state, each.field)}


def test_the_stories_fill_nearly_all_sections() -> None:
    """So the tests above are about each of them. The test below is about the others."""
    stories = [*(case.values[0] for case in vectors()), hostile()]
    found = set().union(*(filled(folded(Fold, each)._states.values()) for each in stories))
    assert {section.field for section in sections_of(bytes(32))} - found == LATE


LATE = {"banned", "contested", "early_conflicts", "forgotten"}
LINES = {"lines", "served"}


class ReadSteps(Steps):
    """Steps whose states were all read from their bytes."""

    def step(self, **changes: Any) -> State:
        state = super().step(**changes)
        self.latest = self.states[state.id] = read_again(self.network.id, state)
        return self.latest


def report_of(network: bytes, reporter: bytes, responder: bytes, epoch: int) -> bytes:
    """The payload of a report that opens no dispute."""
    nonce = sealed_nonce(network, reporter, responder, epoch, bytes(32), bytes(32))
    receipt = Receipt(network, responder, bytes(32), 0, bytes(32), 3, 0, 1, 2, bytes(64))
    said = (bytes(32), epoch + 4, responder, nonce, bytes(32), receipt)
    return AnswerReport(reporter, epoch, *said, output=bytes(32)).encode()


def long_story(steps: Steps) -> Iterator[State]:
    """Keys fall silent and come back, equivocate before they join, and are convicted; decisions are contested. There is
    a report, and a data set of which a row is erased."""
    founder, liar, *_ = steps.network.founders
    gone, late = key("gone"), key("late")
    lost = DisputeKey(founder, 1, 0)
    for peer in (*steps.network.founders, gone):
        steps.join(peer)
    yield steps.step()
    offered = steps.say(founder, Kind.DATASET, dataset_of(rows=3, until=1000).encode())
    yield steps.step()
    steps.say(founder, Kind.ERASURE, Erasure(offered.id, key("less"), 2, 1).encode())
    for seq in (0, 2):
        steps.say(founder, Kind.CONFLICT, conflict_of(steps.network.id, late, seq))
    yield steps.step()
    steps.say(founder, Kind.REPORT, report_of(steps.network.id, founder, steps.network.founders[2], steps.latest.epoch))
    yield steps.step()
    steps.latest.convict(liar, LOST_DISPUTES)
    steps.latest.change(liar, losses=(Loss(lost, 4_000),), weight=0, lost_weight_index=2)
    steps.latest.contested[lost] = frozenset((founder,))
    steps.latest.forgotten[key("away")] = steps.latest.index
    steps.latest._as_past = None  # what was remembered of the state before these changes
    for epoch in range(12):
        if epoch == 3:
            steps.join(late)
        if epoch == 9:
            steps.join(gone)
        steps.propose(founder)
        yield steps.step()


def test_rows_that_come_and_go_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_rows, "SILENT_CUTS", 4)
    monkeypatch.setattr(state_rows, "TOMBSTONE_CUTS", 8)
    network = make_network(seeds(4, "codec"))
    one, two = list(long_story(Steps(network))), list(long_story(ReadSteps(network)))
    assert filled(one) >= LATE
    assert len(one) == len(two)
    for told, read in zip(one, two, strict=True):
        assert state_root(network.id, told) == state_root(network.id, read)
        assert view_root(network, told) == view_root(network, read)


def line_story(steps: type[Steps]) -> tuple[Network, list[State]]:
    """Versions with thresholds of the referee, members that move and vote for recalls, and struck publishers."""
    story = LineStory(classes=2, steps=steps)
    judged = Calibration(story.network.referee, "any", "toy", "path 0", 400, 9_000, ACROSS, ACROSS.honest_ppm)
    first = story.release(1, manifest=manifest_of(1, calibrations=(judged,)).encode())
    told = [story.steps.step() for _ in range(NOTICE)]
    story.serve(0, first)
    story.serve(1, first)
    story.release(2, parents=(first,), by=PUBLISHERS)
    story.release(2, by=PUBLISHERS[:1], body="of the thief", author=1)
    told.append(story.steps.step())
    story.recall(2, by=(), author=1)
    story.recall(1, by=(), author=2)
    told.append(story.steps.step())
    story.serve(1, MANIFEST.digest)
    story.recall(2, 1, by=PUBLISHERS[1:])
    story.rotate(1, publishers_of(PUBLISHERS[1:], 1), by=PUBLISHERS[1:])
    return story.network, [*told, *(story.steps.step() for _ in range(3))]


def test_lines_are_read_alike() -> None:
    """All of their notes are filled: signers, struck keys, votes, recalls, and the version that a member left."""
    network, one = line_story(Steps)
    _, two = line_story(ReadSteps)
    assert filled(one) >= LINES
    notes = [state.lines[0] for state in one]
    assert all(any(getattr(each, each_field.name) for each in notes) for each_field in fields(LineNotes))
    assert any(bounds for each in notes for version in each.versions for bounds in version.bounds)
    assert any(version.is_recalled and version.parents for each in notes for version in each.versions)
    assert any(served.left for state in one for served in state.served.values())
    for told, read in zip(one, two, strict=True):
        assert (told.lines, told.served) == (read.lines, read.served)
        assert state_root(network.id, told) == state_root(network.id, read)
        assert view_root(network, told) == view_root(network, read)


def width(form: Any, value: Any) -> int:
    """The number of parts that a form writes."""
    return len(form.write(value))


def test_every_field_is_written() -> None:
    """A new field of a state changes its bytes, or is left out on purpose."""
    known = {section.field for section in sections_of(bytes(32))} | HEADER | LEFT_OUT | {"books", "tails"}
    assert {section.field for section in sections.MONEY_SECTIONS} | {"pool"} == {each.name for each in fields(Books)}
    assert {each.name for each in fields(State) if not each.name.startswith("_")} == known
    blank = bytes(32)
    forms: list[tuple[Any, Any]] = [
        (rows.MEMBER, Member()),
        (rows.CONTACT, Contact(1, 1)),
        (rows.EARLY_CONFLICT, EarlyConflict()),
        (rows.DATASET, LiveDataset(blank, blank, 1, blank, 1, 1, 1)),
        (verdicts.SEALED, Sealed(blank, 1, 1)),
        (verdicts.OPENED, OpenedAnswer(blank)),
        (verdicts.DUTY_NOTE, DutyNote(blank)),
        (lines.LINE_NOTES, line_story(Steps)[1][-1].lines[0]),
        (lines.NOTED_VERSION, line_story(Steps)[1][-1].lines[0].versions[0]),
        (lines.SERVED, AT_FIRST),
        (money.ACCOUNT, Account()),
        (money.CLAIM, Claim(1, 1)),
        (money.PLEDGE, Pledge(1, 1, 1)),
    ]
    story = folded(Fold, hostile())
    for dispute in (each for cut in story._states.values() for each in cut.disputes.values()):
        forms += [(verdicts.dispute_form(story.network_id), dispute), (verdicts.ROUND, dispute.round)]
    assert {type(value) for _, value in forms} >= {Dispute, Round}
    assert all(width(form, value) == len(fields(value)) for form, value in forms)
    assert len(fields(AuditNote)) == 4  # the audit and the digest follow from the payload


# ---------------------------------------------------------------- bytes that are not those of a state

NETWORK = make_network(seeds(3, "codec"))


def rich() -> State:
    """A small state with something in most of its parts."""
    fold = folded(Fold, next(iter(vectors())).values[0])
    return fold.latest


RICH = rich()
WRITTEN = encode_state(NETWORK.id, genesis(NETWORK))
LONG = encode_state(bytes(32), RICH)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(LONG) - 1), st.integers(1, 255))
@example(0, 1)
def test_other_bytes_are_another_state_or_none(place: int, change: int) -> None:
    """Each state has its bytes only. A changed byte that still gives a state gives another root."""
    changed = bytearray(LONG)
    changed[place] ^= change
    try:
        found = decode_state(bytes(changed))
    except DecodeError:
        return
    assert encode_state(found.network_id, found.state) == bytes(changed)
    assert found.root != state_root(bytes(32), RICH)
    assert found.root == state_root(found.network_id, found.state)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_no_state(noise: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_state(noise)


def read(data: bytes) -> Any:
    return decode(data, size_max=STATE_BYTES_MAX)


def changed(name: str, change: Any) -> bytes:
    """The bytes of a state, with the leaves of one section changed."""
    domain, parts = read(WRITTEN)
    return encode([domain, [[each, change(leaves) if each == name else leaves] for each, leaves in parts]])


def leaf(*parts: Any) -> Any:
    return lambda leaves: [*leaves, encode(list(parts))]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (encode(["p2pverify/state/0", []]), "not a state of this version"),
        (encode([sections.DOMAIN]), "state: not 2 items"),
        (encode([sections.DOMAIN, []]), "a state has one header"),
        (changed("header", lambda leaves: leaves * 2), "a state has one header"),
        (changed("header", lambda _: [encode([bytes(32)])]), "header: not 8 items"),
        (changed("members", lambda leaves: leaves[::-1]), "members: not sorted and distinct"),
        (changed("members", lambda leaves: [*leaves, leaves[-1]]), "members: not sorted and distinct"),
        (changed("members", leaf(b"\xff" * 32, [])), f"members: Member: not {len(fields(Member))} items"),
        (changed("members", lambda leaves: [leaves[0] + b"\x00"]), "members: trailing bytes"),
        (changed("banned", leaf(b"\xff" * 31, "x")), "banned: bytes: not 32 bytes"),
        (changed("banned", leaf(b"\xff" * 32, "x" * 129)), "banned: text: longer than 128 bytes"),
        (changed("totals", leaf("records", -1)), "totals: number: not an unsigned integer"),
        (changed("duties", leaf([bytes(32), 1], [bytes(32), [[1, bytes(32)], [1, bytes(32)]]])),
         "duties: audits: not sorted and distinct"),
        (changed("early-conflicts", leaf(bytes(32), [[2, 1], False, 0])),
         "early-conflicts: forks: not sorted and distinct"),
        (changed("cuts", leaf(bytes(32), b"\x80")), "cuts: cut: not 8 items"),
        (WRITTEN[:-1], "truncated"),
        (bytes(STATE_BYTES_MAX + 1), "too long"),
    ],
)  # fmt: skip
def test_what_is_no_state_is_refused(written: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode_state(written)
    assert refused.value.reason == reason


def test_a_section_may_not_be_missing_or_repeat() -> None:
    domain, parts = read(WRITTEN)
    for others in (parts[:-1], [*parts, parts[-1]], [*parts[:2], parts[3], parts[2], *parts[4:]]):
        with pytest.raises(DecodeError, match="not the sections of a state"):
            decode_state(encode([domain, others]))


def test_a_dispute_stands_under_its_own_key() -> None:
    fold = folded(Fold, hostile())
    state = next(each for each in fold._states.values() if each.disputes)
    key, dispute = sorted(state.disputes.items(), key=lambda item: item[0].sort_key())[0]
    state.disputes[DisputeKey(key.challenger, key.epoch, key.slot + 1)] = state.disputes.pop(key)
    with pytest.raises(DecodeError, match="a key is not that of the audit"):
        decode_state(encode_state(fold.network_id, state))
    assert dispute.key == key


def test_one_leaf_is_provable_alone() -> None:
    """By the path from the leaf to its section's root, and the path from the section to the state's root."""
    state = genesis(NETWORK)
    state.noted = {bytes([number]) * 32: number for number in range(70)}
    leaves = leaves_of(NETWORK.id, state)
    parts = {name: [merkle.leaf(each) for each in found] for name, found in leaves.items()}
    own = proven(merkle.leaf(leaves["noted"][40]), parts["noted"], 40)
    roots = {name: proven(hashes[0], hashes, 0) if hashes else merkle.root([]) for name, hashes in parts.items()}
    lines = [merkle.leaf(encode([name, len(leaves[name]), found])) for name, found in roots.items()]
    assert proven(merkle.leaf(encode(["noted", 70, own])), lines, list(leaves).index("noted")) == root_of(leaves)
    assert root_of(leaves) == state_root(NETWORK.id, state)


def proven(leaf: bytes, hashes: list[bytes], index: int) -> bytes | None:
    """The grouped root that a leaf hash and a path give: the other hashes of its group, then those of other groups."""
    groups = [b"".join(hashes[at : at + 32]) for at in range(0, len(hashes), 32)]
    start = index % 32 * 32
    own = groups[index // 32][:start] + leaf + groups[index // 32][start + 32 :]
    path = merkle.inclusion_path([merkle.leaf(each) for each in groups], index // 32)
    return merkle.root_of_path(merkle.leaf(own), index // 32, len(groups), path)
