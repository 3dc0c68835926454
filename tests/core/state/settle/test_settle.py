"""Settlement in the fold: what a cut pays, which records of money count, and what strangers can do."""

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError, GossipReject
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.kinds import KINDS, rule_of
from p2pverify.core.records.payloads.settle.cheque import Cheque
from p2pverify.core.records.payloads.settle.payment import Payment
from p2pverify.core.records.payloads.settle.pledge import PledgeOffer
from p2pverify.core.replica.explain import explain, explain_books
from p2pverify.core.settle.books import (
    Account,
    AccountRow,
    Books,
    Cause,
    Claim,
    MoneyPart,
    MoveReason,
    SeriesKey,
    account_rows,
)
from p2pverify.core.settle.posting import ESCROW_MAX, vest_epoch
from p2pverify.core.settle.rules import PLEDGES_MAX, SERIES_MAX
from p2pverify.core.state import rows as state_rows
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.codec.sections import decode_state, encode_state
from p2pverify.core.state.fork import fork, forked_network, read_start
from p2pverify.core.state.state import State, genesis
from p2pverify.core.state.view import prove_account, view_head, view_root
from p2pverify.core.state.view_bytes import read_view_head
from p2pverify.testnet.world import World
from p2pverify.testnet.world.state_size import MONEY_BYTES_MAX, bytes_max, part_bytes, state_bytes
from tests.core.state.bounds.authors import audit_of
from tests.support.lines import with_line
from tests.support.money import CLIENT, TARIFF, cheque_of, with_tariff
from tests.support.networks import make_network, seeds
from tests.support.steps import Steps, key
from tests.support.worlds import make_world

NETWORK = with_tariff(with_line(make_network(seeds(4, "money"))))
PLAIN = replace(NETWORK, tariff=None)
ONE, TWO, THREE, FOUR = NETWORK.founders
DEBTOR, STRANGER = sign.public_key(CLIENT), key("stranger")


def founded(*others: bytes) -> Steps:
    steps = Steps(NETWORK)
    for peer in (*NETWORK.founders, *others):
        steps.join(peer)
    steps.step()
    return steps


def pledge(steps: Steps, author: bytes, bounty: int = 1000, *, line: int = 0, rounds: int = 1) -> None:
    steps.say(author, Kind.PLEDGE, PledgeOffer(line, bounty, 1, rounds).encode())


def cheque(steps: Steps, creditor: bytes, cumulative: int, count: int = 1, **changes: object) -> None:
    made = cheque_of(NETWORK.id, creditor, cumulative, count, **changes)  # type: ignore[arg-type]
    steps.say(creditor, Kind.CHEQUE, made.encode())


def paid(steps: Steps, creditor: bytes, amount: int, debtor: bytes = DEBTOR) -> None:
    steps.say(creditor, Kind.PAYMENT, Payment(debtor, amount, b"").encode())


def row(state: State, owner: bytes) -> AccountRow:
    assert state.books is not None
    rows = account_rows(state.books)
    assert sum(each.total for each in rows) == 0
    return next((each for each in rows if each.key == owner), AccountRow(owner))


def counted(state: State) -> dict[str, int]:
    words = ("pledge", "cheque", "payment")
    return {name: n for name, n in state.totals.items() if name.startswith(words)}


# ---------------------------------------------------------------- duties


@cache
def lying() -> World:
    """A world with one peer that begins to lie, and is convicted."""
    kinds = {0: "always-wrong"}
    world = make_world(5, seed=3, kinds=kinds, onset_epoch=6, contract=with_tariff, slots_milli=2000)
    world.run_epochs(17)
    return world


def test_the_sum_is_0_at_every_cut_and_the_liar_gets_nothing() -> None:
    world = lying()
    fold = world.peers[-1].machine.fold
    states = [fold.state(cut) for cut in fold.latest.path]
    assert len(states) > 10
    for state in states:
        assert state is not None
        row(state, b"")
    liar, *honest = (peer.machine.key for peer in world.peers)
    assert fold.latest.convicted == {liar}
    found = row(fold.latest, liar)
    assert found.escrow == 0
    assert found.vested <= 0 < found.answers
    assert found.forfeited > 0
    for peer in honest:
        mine = row(fold.latest, peer)
        assert min(mine.answers, mine.audits, mine.votes) > 0
        assert mine.escrow > 0


def test_every_movement_of_a_peer_is_explained() -> None:
    """They add up to its row, and each names the slot that it comes from."""
    world = lying()
    ledger = world.peers[-1].machine.context.ledger
    records = list(ledger.records())
    for peer in world.peers[:2]:
        found = explain(world.network, records, peer.machine.key)
        for part in MoneyPart:
            moved = [each.movement.amount for each in found.movements if each.movement.part is part]
            assert sum(moved) == getattr(found.row, part) - getattr(found.opening, part)
        reasons = {each.movement.reason for each in found.movements}
        assert MoveReason.DUES in reasons
        for each in found.movements:
            assert ledger.get(each.cut) is not None
            is_slot = each.movement.reason in (MoveReason.ANSWER, MoveReason.AUDIT, MoveReason.VOTE)
            assert isinstance(each.movement.cause, tuple) == is_slot
    answers = sum(each.movement.amount for each in found.movements if each.movement.reason is MoveReason.ANSWER)
    assert answers == found.row.answers > 0


def test_the_movements_of_one_cause_are_even() -> None:
    """So they can be one transaction. Those of one peer are what it is explained."""
    world = lying()
    records = list(world.peers[-1].machine.context.ledger.records())
    books = explain_books(world.network, records)
    sums: Counter[tuple[bytes, MoveReason, Cause]] = Counter()
    for each in books.movements:
        sums[each.cut, each.movement.reason, each.movement.cause] += each.movement.amount
    assert len(sums) > 100
    assert not any(sums.values())
    key = world.peers[0].machine.key
    mine = tuple(each for each in books.movements if each.movement.key == key)
    assert mine == explain(world.network, records, key, cut=books.cut).movements


def test_peers_agree_on_the_accounts() -> None:
    """Also a peer that read its state from bytes."""
    world = lying()
    folds = [peer.machine.fold for peer in world.peers[1:]]
    epoch = min(fold.latest.epoch for fold in folds)
    roots = {state_root(world.network.id, _at(fold.latest, fold, epoch)) for fold in folds}
    assert len(roots) == 1
    state = folds[0].latest
    again = decode_state(encode_state(world.network.id, state)).state
    assert again.books == state.books
    assert again.books is not None
    assert again.books.accounts


def _at(latest: State, fold: object, epoch: int) -> State:
    for cut in latest.path[::-1]:
        state = fold.state(cut)  # type: ignore[attr-defined]
        if state is not None and state.epoch <= epoch:
            found: State = state
            return found
    raise AssertionError("no cut")


# ---------------------------------------------------------------- networks without a tariff


@pytest.mark.parametrize("kind", [Kind.PLEDGE, Kind.CHEQUE, Kind.PAYMENT])
def test_a_network_without_a_tariff_has_no_records_of_money(kind: Kind) -> None:
    assert rule_of(kind, PLAIN) is None
    assert rule_of(kind, NETWORK) is KINDS[kind]


def test_the_other_kinds_depend_on_lines_alone() -> None:
    unlined = with_tariff(make_network(seeds(4, "money")))
    assert rule_of(Kind.STATEMENT, unlined) is None
    assert rule_of(Kind.CHEQUE, unlined) is not None
    assert rule_of(Kind.STATEMENT, PLAIN) is not None


def test_a_network_without_a_tariff_keeps_its_bytes() -> None:
    one, two = Steps(PLAIN), Steps(NETWORK)
    for steps in (one, two):
        for peer in NETWORK.founders:
            steps.join(peer)
        steps.step()
    assert one.latest.books is None
    assert not {"accounts", "claims", "pledges"} & part_bytes(one.latest).keys()
    assert view_head(PLAIN, one.latest).accounts is None
    head = view_head(NETWORK, two.latest)
    assert read_view_head(head.to_value()) == head  # type: ignore[arg-type]
    assert head.accounts is not None
    assert len(head.to_value()) == len(view_head(PLAIN, one.latest).to_value()) + 1


# ---------------------------------------------------------------- cheques


def test_a_cheque_goes_into_escrow_and_vests() -> None:
    steps = founded()
    cheque(steps, ONE, 5_000)
    state = steps.step()
    assert (row(state, ONE).escrow, row(state, ONE).claims, row(state, DEBTOR).claims) == (5_000, 0, -5_000)
    steps.step(epoch=vest_epoch(TARIFF, state.epoch) - 1)
    assert row(steps.latest, ONE).escrow == 5_000
    steps.step()
    assert (row(steps.latest, ONE).escrow, row(steps.latest, ONE).claims) == (0, 5_000)


def test_replay_and_order_of_cheques_are_harmless() -> None:
    """The greatest of a series counts, whatever comes first, and how often."""
    steps = founded()
    for cumulative, count in ((300, 3), (100, 1), (200, 2), (300, 3)):
        cheque(steps, ONE, cumulative, count)
    assert row(steps.step(), DEBTOR).claims == -300
    cheque(steps, ONE, 300, 3)
    cheque(steps, ONE, 400, 3)  # more with the same number
    cheque(steps, ONE, 100, 9)  # less with a higher one
    assert row(steps.step(), DEBTOR).claims == -300
    assert counted(steps.latest) == {"cheques": 1, "cheque: a greater one is known": 6}


def test_a_cheque_cannot_be_forged() -> None:
    """Not by the creditor, for another creditor, or from another network."""
    rules = KINDS[Kind.CHEQUE]
    steps = founded()
    good = cheque_of(NETWORK.id, ONE, 100)
    forged = [
        replace(good, cumulative=200),
        replace(good, until=good.until + 1),
        cheque_of(NETWORK.id, TWO, 100),
        cheque_of(PLAIN.id, ONE, 100),
    ]
    context = Rules(NETWORK, NETWORK.id, 5)
    rules.check(good, steps.say(ONE, Kind.CHEQUE, good.encode()), context)
    for each in forged:
        with pytest.raises(GossipReject, match="signature does not hold"):
            rules.check(each, steps.say(ONE, Kind.CHEQUE, each.encode()), context)


def test_a_series_is_forgotten_when_it_is_paid_and_over() -> None:
    """After that its cheques count no more, so that none is counted twice."""
    steps = founded()
    cheque(steps, ONE, 700, until=12)
    steps.step()
    steps.step(epoch=12)
    paid(steps, ONE, 700)
    assert row(steps.step(), DEBTOR) == AccountRow(DEBTOR)
    assert steps.latest.books is not None
    assert not steps.latest.books.claims
    cheque(steps, ONE, 700, until=12)
    steps.step()
    assert not steps.latest.books.claims
    assert steps.latest.totals["cheque: its series is over"] == 1


def equivocate(steps: Steps, peer: bytes) -> None:
    """Two audits for one slot, which convict."""
    for salt in ("one", "two"):
        made = audit_of(peer, steps.latest.epoch + 1, 0, asked=2, salt=salt)
        steps.say(peer, Kind.AUDIT, made.encode())


def test_a_conviction_refunds_what_has_not_vested() -> None:
    """To the client that paid it, and not to the accuser or to others."""
    steps = founded()
    cheque(steps, ONE, 900, 1)
    steps.step(epoch=3)
    cheque(steps, ONE, 1_500, 2)
    steps.step(epoch=9)
    assert (row(steps.step(epoch=13), ONE).claims, row(steps.latest, ONE).escrow) == (900, 600)
    equivocate(steps, ONE)
    state = steps.step()
    assert state.convicted == {ONE}
    found = row(state, ONE)
    assert (found.claims, found.escrow, found.forfeited, row(state, DEBTOR).claims) == (900, 0, 600, -900)
    assert all(row(state, peer).total == 0 for peer in (TWO, THREE, FOUR))
    cheque(steps, ONE, 9_000, 3)
    assert steps.step().totals["cheque: author has no weight"] == 1


def money_bytes(state: State) -> int:
    parts = part_bytes(state)
    return sum(parts[name] for name in ("accounts", "claims", "pledges"))


def test_strangers_cannot_swell_the_state() -> None:
    """Creditors have weight, their series are bounded, and debtors need no place of their own."""
    steps = founded(STRANGER)
    before = money_bytes(steps.latest)
    for number in range(40):
        cheque(steps, STRANGER, 100, until=100 + number)
        paid(steps, STRANGER, 100, key(f"{number}"))
        pledge(steps, STRANGER)
        pledge(steps, key(f"{number}"))
    state = steps.step()
    assert state.books is not None
    assert not state.books.claims
    assert not state.books.pledges
    assert STRANGER not in state.books.accounts
    assert money_bytes(state) == before
    for number in range(SERIES_MAX + 9):
        cheque(steps, ONE, 100, until=100 + number)
    state = steps.step()
    assert state.books is not None
    assert len(state.books.claims[ONE]) == SERIES_MAX
    assert state.totals["cheque: author has too many series"] == 9
    cheque(steps, ONE, 100, until=state.epoch + 2**20 + 2)
    cheque(steps, ONE, 200, 2, until=100)  # a known series goes on
    assert steps.step().totals["cheque: its series ends too late"] == 1
    assert row(steps.latest, DEBTOR).claims == -100 * (SERIES_MAX + 1)


def test_full_books_stay_within_the_bound_of_a_state() -> None:
    steps = founded()
    assert steps.latest.books is not None
    for epoch in range(1, 12):  # entries of escrow at all of their epochs
        for peer in NETWORK.founders:
            for number in range(SERIES_MAX):
                made = Cheque(DEBTOR, 2**20 - number, 2**39 + epoch, epoch, bytes(64))
                steps.say(peer, Kind.CHEQUE, made.encode())
        steps.step()
    held = {(2**30 + at % 8, key(f"{at // 8}")): 2**39 for at in range(ESCROW_MAX)}
    for peer in NETWORK.founders:
        steps.latest.books.accounts[peer] = Account(2**50, held, 2**60, 2**60, 2**60, 2**60, 2**60)
    assert money_bytes(steps.latest) < 4 * MONEY_BYTES_MAX
    assert state_bytes(steps.latest) < bytes_max(steps.latest)


# ---------------------------------------------------------------- payments


def test_a_payment_says_no_more_than_is_owed() -> None:
    """Escrow cannot be paid yet. What is paid is gone from both sides."""
    steps = founded()
    cheque(steps, ONE, 1_000)
    at = steps.step().epoch
    paid(steps, ONE, 1)
    steps.step()
    steps.step(epoch=vest_epoch(TARIFF, at))
    paid(steps, ONE, 1_001)
    paid(steps, TWO, 1)
    paid(steps, ONE, 600)
    paid(steps, ONE, 401)
    state = steps.step()
    assert (row(state, ONE).claims, row(state, DEBTOR).claims) == (400, -400)
    assert counted(state) == {"cheques": 1, "payments": 1, "payment: more than is owed": 4}


def with_accounts(**vested: int) -> Steps:
    """A network in which the founders have these amounts (by name), and the pool the rest."""
    steps = founded()
    names = {"one": ONE, "two": TWO, "three": THREE, "four": FOUR}
    books = steps.latest.books
    assert books is not None
    for name, amount in vested.items():
        books.accounts[names[name]] = Account(amount)
    books.pool = -sum(vested.values())
    return steps


def test_a_payment_among_members_moves_both_towards_0() -> None:
    steps = with_accounts(one=500, two=-300, three=-200)
    paid(steps, ONE, 301, TWO)
    paid(steps, ONE, 300, TWO)
    paid(steps, TWO, 1, ONE)
    paid(steps, ONE, 200, FOUR)
    state = steps.step()
    assert [row(state, peer).vested for peer in (ONE, TWO, THREE)] == [200, 0, -200]
    assert state.totals["payment: more than is owed"] == 3


def test_who_owes_the_limit_neither_owes_nor_earns_for_duties() -> None:
    """Dues stop at the limit. What nobody can pay is due later."""
    steps = with_accounts(one=3 * TARIFF.limit, two=-TARIFF.limit, three=-TARIFF.limit, four=10 - TARIFF.limit)
    assert steps.latest.books is not None
    steps.latest.books.accounts[ONE] = Account(3 * TARIFF.limit + 80)
    steps.latest.books.pool -= 80
    state = steps.step()
    assert [row(state, peer).vested for peer in (TWO, THREE, FOUR)] == [-TARIFF.limit] * 3
    assert row(state, ONE).vested == 3 * TARIFF.limit + 80 - 45
    assert row(state, b"").vested == -35
    assert row(steps.step(), b"").vested == 0


# ---------------------------------------------------------------- pledges


def test_pledges_that_do_not_count() -> None:
    steps = founded(STRANGER)
    pledge(steps, STRANGER)
    pledge(steps, ONE, TARIFF.limit // 2, rounds=3)
    pledge(steps, TWO, TARIFF.limit // 2, rounds=2)
    pledge(steps, TWO)
    state = steps.step()
    assert state.books is not None
    assert {peer for _, peer in state.books.pledges} == {TWO}
    assert counted(state) == {
        "pledges": 1,
        "pledge: author has no weight": 1,
        "pledge: more than author may owe": 1,
        "pledge: author has one for the line": 1,
    }


def test_a_line_has_few_pledges() -> None:
    network = with_tariff(with_line(make_network(seeds(PLEDGES_MAX + 2, "money"))))
    steps = Steps(network)
    for peer in network.founders:
        steps.join(peer)
    steps.step()
    for peer in network.founders:
        pledge(steps, peer)
    state = steps.step()
    assert state.books is not None
    assert len(state.books.pledges) == PLEDGES_MAX
    assert state.totals["pledge: line has too many"] == 2


def test_a_conviction_ends_a_pledge() -> None:
    steps = founded()
    pledge(steps, ONE)
    pledge(steps, TWO)
    steps.step()
    equivocate(steps, ONE)
    state = steps.step()
    assert state.books is not None
    assert set(state.books.pledges) == {(0, TWO)}


# ---------------------------------------------------------------- rows that go, forks, views


def test_the_account_of_a_key_without_a_row_is_written_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others bear what it owed, and its debtors are free. The sum stays 0."""
    monkeypatch.setattr(state_rows, "SILENT_CUTS", 3)
    monkeypatch.setattr(state_rows, "TOMBSTONE_CUTS", 3)
    steps = with_accounts(one=-120, two=120)
    cheque(steps, ONE, 700)
    steps.latest.change(ONE, weight=0, lost_weight_index=1)
    steps.leave(ONE)
    steps.latest.members[ONE].weight = 1
    steps.step()
    assert row(steps.latest, DEBTOR).claims in (0, -700)
    for _ in range(90):
        for peer in (TWO, THREE, FOUR):
            steps.say(peer, Kind.CUT_SIGNATURE, b"\x81" + b"\x58\x20" + bytes(32))
        steps.step()
    state = steps.latest
    assert ONE not in state.members
    assert row(state, ONE) == AccountRow(ONE)
    assert row(state, DEBTOR) == AccountRow(DEBTOR)
    assert [row(state, peer).vested for peer in (TWO, THREE, FOUR)] == [80, -40, -40]


def test_a_fork_goes_on_with_the_accounts_and_without_pledges() -> None:
    steps = with_accounts(one=500, two=-500)
    cheque(steps, ONE, 700)
    pledge(steps, THREE)
    state = steps.step()
    start = fork(state)
    network = forked_network(NETWORK, state.id, start)
    assert network.tariff == NETWORK.tariff
    written = encode_state(NETWORK.id, start)
    begun = read_start(network, written)
    assert begun.books is not None
    assert not begun.books.pledges
    assert state.books is not None
    assert begun.books.accounts == state.books.accounts
    assert begun.books.claims == state.books.claims
    with pytest.raises(DecodeError, match="accounts exactly if it has a tariff"):
        read_start(replace(network, tariff=None), written)


def test_one_row_of_an_account_is_provable_alone() -> None:
    steps = with_accounts(one=500, two=-500)
    cheque(steps, ONE, 700)
    state = steps.step()
    root = view_root(NETWORK, state)
    for owner in (b"", ONE, TWO, DEBTOR):
        proof = prove_account(NETWORK, state, owner)
        assert proof is not None
        assert proof.holds(root)
        assert not replace(proof, row=proof.row + b"\0").holds(root)
        assert not proof.holds(sha256(root))
    assert prove_account(NETWORK, state, STRANGER) is None
    assert prove_account(PLAIN, genesis(PLAIN), ONE) is None


def test_every_part_of_the_books_is_in_the_root_and_is_read_again() -> None:
    steps = with_accounts(one=500, two=-500)
    cheque(steps, ONE, 700)
    pledge(steps, THREE)
    state = steps.step()
    written = encode_state(NETWORK.id, state)
    again = decode_state(written).state
    assert again.books == state.books
    assert encode_state(NETWORK.id, again) == written
    assert state.books is not None
    full = state.books
    for less in (
        Books({}, full.claims, full.pledges),
        Books(full.accounts, {}, full.pledges),
        Books(full.accounts, full.claims),
    ):
        assert state_root(NETWORK.id, replace(state, books=less)) != state_root(NETWORK.id, state)


def test_a_state_with_claims_that_no_cheque_gives_is_refused() -> None:
    state = founded().latest
    assert state.books is not None
    wrong_ones: tuple[dict[SeriesKey, Claim], ...] = ({}, {(DEBTOR, 9): Claim(5, 1, settled=6)})
    for claims in wrong_ones:
        wrong = replace(state, books=Books({}, {ONE: claims}))
        with pytest.raises(DecodeError, match="more is settled than was owed"):
            decode_state(encode_state(NETWORK.id, wrong))
