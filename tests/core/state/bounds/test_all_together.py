"""The worst author of every kind at once: the state grows with its rows, and with little else.

One part has a bound of its own, which is larger: open disputes.
"""

from dataclasses import replace

import pytest

from p2pverify.core.blind.committees import EVERYONE
from p2pverify.core.blind.values import OpenedAnswer, Round, RoundPhase, Sealed
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.inference.compare import Measure
from p2pverify.core.inference.speed import CLAIM_CHARS_MAX, FASTEST_KEPT, WINDOWS_KEPT, Sample, Window
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.replica.states import NEW_AUTHORS_MAX
from p2pverify.core.state import rows
from p2pverify.core.state.history.datasets import DATASETS_MAX, DATASETS_OF_NEWCOMER_MAX
from p2pverify.core.state.history.notes import LiveDataset
from p2pverify.core.state.memory import (
    AUDITORS_MAX,
    CONTACTS_MAX,
    CREDITS_MAX,
    EARLY_CONFLICTS_MAX,
    FAR_MAX,
    FORKS_MAX,
    LOSSES_MAX,
    NEAR_CUTS,
    PROPOSALS_MAX,
    memory_cuts,
)
from p2pverify.core.state.state import Contact, Loss, State
from p2pverify.core.state.verdicts.notes import Dispute
from p2pverify.testnet.world.state_size import bytes_max, part_bytes, state_bytes
from tests.core.state.bounds.authors import audit_of, conflict_of, founded, many_heads
from tests.support.steps import Steps, key

FOUNDERS, WEIGHTLESS = 28, 40
BIG = 2**31
#: The bytes of a dispute without its voters, and of each voter in it.
DISPUTE_BYTES, VOTER_BYTES = 1_500, 300


def names(what: str, count: int) -> list[bytes]:
    return [key(f"{what} {number}") for number in range(count)]


def fill_rows(state: State) -> None:
    """Every row is as large as the rules allow, whoever has to do with it."""
    windows = tuple(Window(n, BIG, (Sample(BIG, BIG, BIG),) * FASTEST_KEPT) for n in range(WINDOWS_KEPT))
    losses = tuple(Loss(DisputeKey(key("liar"), BIG, 255), 10_000) for _ in range(LOSSES_MAX))
    far = tuple(Loss(DisputeKey(key("liar"), BIG, 255), 10_000) for _ in range(FAR_MAX))
    for member in state.members.values():
        member.hardware = "x" * CLAIM_CHARS_MAX
        member.contacts = dict.fromkeys(names("contact", CONTACTS_MAX), Contact(BIG, BIG, windows, BIG))
        member.auditors = frozenset(names("auditor", AUDITORS_MAX))
        member.credits = frozenset() if member.weight else frozenset(names("credit", CREDITS_MAX))
        member.losses = member.long_losses = losses
        member.judged, member.capital, member.far = BIG, -BIG, far
        member.forks = frozenset(range(BIG, BIG + FORKS_MAX))


def fill_datasets(state: State) -> None:
    """Every member offers as many data sets as it may."""
    for peer, member in state.members.items():
        most = DATASETS_MAX if member.weight else DATASETS_OF_NEWCOMER_MAX
        for number in range(most):
            live = LiveDataset(peer, bytes(32), BIG, bytes(32), BIG, BIG, BIG, BIG, BIG)
            state.datasets[sha256(peer + b"%d" % number)] = live


def dispute_of(state: State, number: int) -> Dispute:
    """A dispute in which all members sealed and opened. A third is wrong, each in its own way, and objects."""
    voters = sorted(peer for peer, member in state.members.items() if member.weight)
    liars = voters[: len(voters) // 3]
    measures = (Measure(64, BIG, BIG, BIG),) * 3
    return Dispute(
        audit=audit_of(key(f"challenger {number}"), state.epoch, 0),
        opened_index=state.index,
        opened_epoch=state.epoch,
        duty_seq=BIG,
        electorate=frozenset(voters),
        sampled=True,
        is_long=True,
        round=Round(EVERYONE, state.index, RoundPhase.OPENING, state.index),
        commits=dict.fromkeys(voters, Sealed(bytes(32), BIG, EVERYONE)),
        votes=dict.fromkeys(voters, OpenedAnswer(bytes(32))),
        settled=frozenset(voters),
        objections=dict.fromkeys(liars, bytes(32)),
        measures=dict.fromkeys((bytes(32), *liars), measures),
    )


def strangers_write(steps: Steps, strangers: list[bytes]) -> None:
    """What one cut brings of authors without weight: audits that no duty opens, cuts, signatures, and new keys."""
    epoch = steps.latest.epoch + 1
    for peer in strangers:
        for slot in (*range(2), 255):
            audit = audit_of(peer, epoch, slot, salt=f"{epoch} {slot}")
            steps.say(peer, Kind.AUDIT, audit.encode())
    for number in range(10):
        steps.propose(strangers[0], salt=number, moved=many_heads("stranger"))
        steps.sign(strangers[1], key(f"{epoch} {number}"))
    for number in range(NEW_AUTHORS_MAX):
        steps.join(key(f"newcomer {epoch} {number}"))


def members_write(steps: Steps, members: list[bytes]) -> None:
    """What one cut brings of hostile members: cuts, signatures of unknown cuts, and conflicts of keys that never
    joined."""
    for peer in members:
        if steps.latest.index % 32 == 0:  # making so many heads takes long
            for number in range(PROPOSALS_MAX + 1):
                base = key(f"base {number}")
                steps.propose(peer, salt=number, base=base, moved=many_heads(f"{number % 2}"))
        for number in range(20):
            steps.sign(peer, sha256(peer + b"%d %d" % (steps.latest.epoch, number)))
    for number in range(EARLY_CONFLICTS_MAX // 50):
        accused = key(f"accused {steps.latest.epoch} {number}")
        for seq in range(3):
            steps.say(members[0], Kind.CONFLICT, conflict_of(steps.network.id, accused, seq))


def test_a_state_by_the_worst_authors_has_bytes_for_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """32 kB for each row, and 2 MB for what does not depend on rows."""
    monkeypatch.setattr(rows, "WEIGHTLESS_MAX", WEIGHTLESS)
    monkeypatch.setattr(rows, "PLACE_CUTS", 1)  # the newcomers of 64 cuts would fill this small table
    strangers = names("stranger", WEIGHTLESS // 2)
    steps = founded(FOUNDERS, strangers)
    members = list(steps.network.founders)
    memory = memory_cuts(steps.network.params)
    for peer in strangers:
        steps.latest.members[peer].agreements = 1  # so that newcomers take the places of others
    for _ in range(memory + NEAR_CUTS + 3):
        strangers_write(steps, strangers)
        members_write(steps, members[: FOUNDERS // 3])
        steps.certify(members[0], members[: FOUNDERS * 2 // 3 + 1])
    state = replace(steps.latest)
    fill_rows(state)
    fill_datasets(state)
    assert len(state.datasets) == DATASETS_MAX * FOUNDERS + DATASETS_OF_NEWCOMER_MAX * WEIGHTLESS
    assert len(state.members) == FOUNDERS + WEIGHTLESS
    assert set(strangers) <= state.members.keys()
    assert len(state.early_conflicts) > 800
    assert len(state.dropped) == NEW_AUTHORS_MAX * (memory + NEAR_CUTS + 1)
    assert len(state.cuts) >= PROPOSALS_MAX * (FOUNDERS // 3)
    assert state_bytes(state) <= bytes_max(state), part_bytes(state)


def test_open_disputes_have_bytes_for_each_of_their_voters() -> None:
    """At most `disputes-per-cut` open in a cut, and each is closed after `dispute-epochs`."""
    steps = founded(FOUNDERS)
    params, state = steps.network.params, steps.latest
    most = params.disputes_per_cut * (params.dispute_epochs + 1)
    state.disputes = {each.key: each for each in (dispute_of(state, number) for number in range(most))}
    assert part_bytes(state)["disputes"] <= most * (DISPUTE_BYTES + VOTER_BYTES * FOUNDERS)
