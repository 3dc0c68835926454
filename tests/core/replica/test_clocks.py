"""What others' records say about the own clock, and how a wrong clock affects signing."""

from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.encoding import sign
from p2pverify.core.events import RecordsArrived, Tick
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica.clocks import APART_MS_MAX
from tests.support.networks import MANIFEST, make_network, seeds

COUNT = 7


class Watch:
    """A founder of seven, and records of the others."""

    def __init__(self) -> None:
        self.seeds = seeds(COUNT, "clocks")
        self.network = make_network(self.seeds)
        self.params = self.network.params
        self.machine = Machine(self.network, self.seeds[0], 0, MANIFEST, 64)
        self.heads: dict[int, Record] = {}

    def record(self, number: int, epoch: int, *, forged: bool = False) -> bytes:
        before = self.heads.get(number)
        made = make_record(
            self.seeds[number if not forged else 0],
            sign.public_key(self.seeds[number]),
            self.network.id,
            epoch=epoch,
            seq=0 if before is None else before.seq + 1,
            prev=NO_PREV if before is None else before.id,
            kind=Kind.JOIN,
            payload=Join(0, self.machine.context.vrf_key, "").encode(),
        )
        if not forged:
            self.heads[number] = made
        return made.data

    def hears(self, epoch: int, *records: bytes) -> int:
        """The machine's estimate in the epoch after the epoch in which it received these records."""
        source = sign.public_key(self.seeds[1])
        self.machine.handle(RecordsArrived(records, source), self.params.epoch_start_ms(epoch) + 1)
        self.machine.handle(Tick(), self.params.epoch_start_ms(epoch + 1))
        return self.machine.clocks.ahead


@given(apart=st.integers(-900, 900), said=st.integers(0, COUNT - 1))
def test_more_than_a_third_of_the_others_say_how_far_the_clock_is_off(apart: int, said: int) -> None:
    """The clock is ahead or behind by a time that no busy machine explains. Fewer peers raise no alarm."""
    watch = Watch()
    records = [watch.record(number, 1_000 + apart) for number in range(1, 1 + said)]
    expected = apart if abs(apart) * watch.params.epoch_ms > APART_MS_MAX and said > 2 else 0
    assert watch.hears(1_000, *records) == expected


def test_old_records_that_come_by_sync_beside_new_ones_raise_no_alarm() -> None:
    """The newest record of each author counts."""
    watch = Watch()
    records = [watch.record(number, epoch) for epoch in (1, 40, 99) for number in range(1, COUNT)]
    assert watch.hears(100, *records) == 0


def test_forged_dates_raise_no_alarm() -> None:
    """A date counts only under the signature of a member with weight."""
    watch = Watch()
    assert watch.hears(100, *(watch.record(number, 900, forged=True) for number in range(1, COUNT))) == 0
    assert watch.hears(101, b"", b"\x00" * 200) == 0


def test_the_alarm_ends_when_the_clock_is_right() -> None:
    """Earlier records are forgotten at the end of the epoch."""
    watch = Watch()
    assert watch.hears(100, *(watch.record(number, 160) for number in range(1, COUNT))) == 60
    assert watch.hears(160, *(watch.record(number, 160) for number in range(1, COUNT))) == 0


def test_a_clock_that_was_ahead_by_days_is_waited_for_and_nothing_is_signed_twice() -> None:
    """The clock goes forward by days for a moment, then back by some hours more. The result is one log in the order of
    its epochs, with one payload per slot."""
    watch = Watch()
    params, machine = watch.params, watch.machine
    for epoch in (3, 50_000, 3, 1, 49_999):
        machine.handle(Tick(), params.epoch_start_ms(epoch) + 1)
    last = machine.context.ledger.last(machine.key)
    assert last is not None
    count = len(machine.context.ledger)
    for epoch in (4, 40_000, last.epoch - 1):
        assert machine.handle(Tick(), params.epoch_start_ms(epoch)) == []
    assert len(machine.context.ledger) == count
    chain = list(machine.context.ledger.chain(machine.key))
    assert [record.epoch for record in chain] == sorted(record.epoch for record in chain)
