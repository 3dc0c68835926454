"""Which data sets are live at a cut: who may offer them, when they end, and what erasures do."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.encoding.canon import encode
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.data import Erasure
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.history.datasets import DATASETS_MAX, DATASETS_OF_NEWCOMER_MAX, must_drop
from p2pverify.core.state.process import advance
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Frame
from p2pverify.core.state.view import view_root
from p2pverify.testnet.world.state_size import bytes_max, part_bytes, state_bytes
from tests.support.datasets import dataset_of, statement_of
from tests.support.networks import make_network, seeds
from tests.support.steps import Steps, key

NETWORK = make_network(seeds(3, "data"))
OWNER, OTHER, THIRD = NETWORK.founders
NEWCOMER, STRANGER = key("newcomer"), key("stranger")


def founded() -> Steps:
    steps = Steps(NETWORK)
    for peer in (*NETWORK.founders, NEWCOMER):
        steps.join(peer)
    steps.step()
    return steps


def offer(steps: Steps, author: bytes, name: str = "rows", *, rows: int = 3, until: int = 1000) -> Record:
    return steps.say(author, Kind.DATASET, dataset_of(name, rows=rows, until=until).encode())


def erase(steps: Steps, author: bytes, dataset: Record, root: str = "less", *, rows: int = 2) -> None:
    steps.say(author, Kind.ERASURE, Erasure(dataset.id, key(root), rows, 1).encode())


def counted(state: State, prefix: str = "") -> dict[str, int]:
    words = ("dataset", "erasure", "statement")
    return {name: n for name, n in state.totals.items() if name.startswith(prefix or words)}


def test_a_member_offers_rows() -> None:
    steps = founded()
    record = offer(steps, OWNER)
    state = steps.step()
    live = state.datasets[record.id]
    assert (live.author, live.root, live.rows, live.until) == (OWNER, key("rows"), 3, 1000)
    assert (live.epoch, live.index) == (state.epoch, state.index)
    assert counted(state) == {"datasets": 1}


def test_the_views_of_a_network_without_data_stay_as_they_are() -> None:
    """A live data set changes the state, and no byte of the view but the counters."""
    one, two = founded(), founded()
    offer(two, OWNER)
    plain, offering = one.step(), two.step()
    assert state_root(NETWORK.id, plain) != state_root(NETWORK.id, offering)
    hidden = replace(offering, heads=plain.heads, tails=plain.tails, totals=plain.totals, _ledger_root=b"")
    assert view_root(NETWORK, hidden) == view_root(NETWORK, plain)


@pytest.mark.parametrize(
    ("author", "until", "reason"),
    [
        (STRANGER, 1000, "author is no active member"),
        (OWNER, 2, "it is over"),
    ],
)
def test_what_does_not_count(author: bytes, until: int, reason: str) -> None:
    steps = founded()
    offer(steps, author, until=until)
    state = steps.step()
    assert not state.datasets
    assert counted(state) == {f"dataset: {reason}": 1}


def test_a_root_is_live_once() -> None:
    steps = founded()
    first = offer(steps, OWNER)
    offer(steps, OWNER)
    same = offer(steps, OTHER)
    state = steps.step()
    assert set(state.datasets) == {first.id, same.id}
    assert counted(state) == {"datasets": 2, "dataset: it is live already": 1}


@pytest.mark.parametrize(("author", "most"), [(OWNER, DATASETS_MAX), (NEWCOMER, DATASETS_OF_NEWCOMER_MAX)])
def test_an_author_that_publishes_many_is_bounded(author: bytes, most: int) -> None:
    """Over one cut and over many. What ends makes room."""
    steps = founded()
    for number in range(most + 40):
        offer(steps, author, f"{number}", until=6 if number == 0 else 1000)
    state = steps.step()
    assert len(state.datasets) == most
    assert counted(state, "dataset: ") == {"dataset: author has too many": 40}
    for number in range(5):
        offer(steps, author, f"later {number}")
        state = steps.step()
        assert len(state.datasets) <= most
    assert len(state.datasets) == most
    assert sum(one.until == 1000 for one in state.datasets.values()) == most


def test_data_sets_with_one_root_are_still_several() -> None:
    """An author cannot make room by erasing all of them to the same rest."""
    steps = founded()
    records = [offer(steps, OWNER, f"{number}") for number in range(DATASETS_MAX)]
    for record in records:
        erase(steps, OWNER, record, "rest")
    assert len({live.root for live in steps.step().datasets.values()}) == 1
    offer(steps, OWNER, "more")
    state = steps.step()
    assert len(state.datasets) == DATASETS_MAX
    assert state.totals["dataset: author has too many"] == 1


def test_a_stranger_costs_nothing_but_its_records() -> None:
    """Whatever kinds it publishes, and whatever data sets it names."""
    steps = founded()
    record = offer(steps, OWNER)
    before = part_bytes(steps.step())
    for number in range(300):
        offer(steps, STRANGER, f"{number}")
        erase(steps, STRANGER, record, f"{number}")
        steps.say(STRANGER, Kind.STATEMENT, statement_of(f"{number}").encode())
    state = steps.step()
    assert part_bytes(state)["datasets"] == before["datasets"]
    assert counted(state) == {
        "datasets": 1,
        "dataset: author is no active member": 300,
        "erasure: no live data set of the author": 300,
        "statement: author is no active member": 300,
    }


def test_full_tables_stay_within_the_bound_of_a_state() -> None:
    steps = founded()
    for author in (*NETWORK.founders, NEWCOMER):
        for number in range(DATASETS_MAX):
            offer(steps, author, f"{number}", rows=2**32 - 1, until=2**40)
    state = steps.step()
    assert len(state.datasets) == 3 * DATASETS_MAX + DATASETS_OF_NEWCOMER_MAX
    assert part_bytes(state)["datasets"] < 4 * 15_000
    assert state_bytes(state) < bytes_max(state)


# ---------------------------------------------------------------- how they end


def test_it_ends_with_the_epoch_of_a_cut() -> None:
    """Whatever epoch its author, or anybody, claims."""
    steps = founded()
    record = offer(steps, OWNER, until=5)
    assert record.id in steps.step(epoch=4).datasets
    steps.say(OTHER, Kind.STATEMENT, statement_of().encode(), epoch=900)
    assert record.id not in steps.step(epoch=5).datasets


def test_it_ends_with_its_author() -> None:
    steps = founded()
    ids = [offer(steps, author).id for author in (OWNER, OTHER, THIRD)]
    steps.leave(OWNER)
    assert set(steps.step().datasets) == set(ids[1:])
    steps.latest.convict(OTHER, "lost disputes")
    assert set(steps.step().datasets) == {ids[2]}
    steps.join(OWNER)
    steps.step()
    back = offer(steps, OWNER)
    assert back.id in steps.step().datasets


def test_erasures_lower_the_rows_until_none_is_left() -> None:
    steps = founded()
    record = offer(steps, OWNER)
    erase(steps, OWNER, record)  # in the same cut
    live = steps.step().datasets[record.id]
    assert (live.root, live.rows, live.erasures, live.erased) == (key("less"), 2, 1, 1)
    erase(steps, OWNER, record, "none", rows=0)
    state = steps.step()
    assert not state.datasets
    assert counted(state) == {"datasets": 1, "erasures": 2}


@pytest.mark.parametrize(
    ("author", "root", "rows", "reason"),
    [
        (OTHER, "less", 2, "no live data set of the author"),
        (OWNER, "less", 3, "it leaves as many rows as there were"),
        (OWNER, "less", 4, "it leaves as many rows as there were"),
        (OWNER, "rows", 2, "it leaves the root as it was"),
    ],
)
def test_erasures_that_do_not_count(author: bytes, root: str, rows: int, reason: str) -> None:
    steps = founded()
    record = offer(steps, OWNER)
    before = steps.step().datasets
    erase(steps, author, record, root, rows=rows)
    state = steps.step()
    assert state.datasets == before
    assert counted(state, "erasure") == {f"erasure: {reason}": 1}


def test_an_erasure_orders_to_drop_what_was_opened() -> None:
    """Opened rows go with the root under which they were opened, and with their data set. Others stay."""
    steps = founded()
    gone, kept, over = offer(steps, OWNER), offer(steps, OTHER), offer(steps, THIRD, until=3)
    held = {
        key("blob 1"): (gone.id, key("rows")),
        key("blob 2"): (gone.id, key("less")),
        key("blob 3"): (kept.id, key("rows")),
        key("blob 4"): (over.id, key("rows")),
        key("blob 5"): (key("unknown"), key("rows")),
    }
    assert must_drop(steps.step(epoch=2), held) == {key("blob 2"), key("blob 5")}
    erase(steps, OWNER, gone)
    assert must_drop(steps.step(epoch=3), held) == {key("blob 1"), key("blob 4"), key("blob 5")}
    assert must_drop(steps.latest, {}) == set()


def test_statements_are_counted_and_change_nothing() -> None:
    steps = founded()
    steps.say(OWNER, Kind.STATEMENT, statement_of().encode())
    state = steps.step()
    assert counted(state) == {"statements": 1}
    assert not state.datasets


# ---------------------------------------------------------------- order


def _advance(base: State, records: Iterable[Record]) -> State:
    records = list(records)
    heads = {**base.heads, **{r.author: (r.author, r.seq, r.id) for r in sorted(records, key=lambda r: r.seq)}}
    frame = Frame(lambda cuts: [None] * len(cuts))
    return advance(NETWORK, NETWORK.id, base, records, frame, cut_id=bytes(32), epoch=3, heads=heads, beacon=bytes(32))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_order_of_arrival_does_not_matter(data: st.DataObject) -> None:
    """Of data sets, erasures and statements of several authors in one cut, also of leaves among them."""
    steps = founded()
    known = offer(steps, OWNER, "known", rows=5)
    base = steps.step()
    for _ in range(data.draw(st.integers(1, 12))):
        author = data.draw(st.sampled_from((OWNER, OTHER, NEWCOMER, STRANGER)))
        what = data.draw(st.integers(0, 3))
        name = data.draw(st.sampled_from("abcdef"))
        if what == 0:
            offer(steps, author, name, until=data.draw(st.integers(2, 5)))
        elif what == 1:
            erase(steps, author, known, name, rows=data.draw(st.integers(0, 5)))
        elif what == 2:
            steps.say(author, Kind.STATEMENT, statement_of(name).encode())
        else:
            steps.say(author, Kind.LEAVE, encode([]))
    records = list(steps.waiting)
    shuffled = data.draw(st.permutations(records))
    one, two = _advance(base, records), _advance(base, shuffled)
    assert state_root(NETWORK.id, one) == state_root(NETWORK.id, two)
    assert view_root(NETWORK, one) == view_root(NETWORK, two)
