"""When a started peer may sign: the end of its silence, and what it never signs of the time before its start."""

from p2pverify.core.encoding import sign
from p2pverify.core.events import Effect, Persist, RecordsArrived, Synced, Tick
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.payloads.membership import Join
from tests.support.networks import MANIFEST, make_network, seeds
from tests.support.worlds import make_world, restart, run_until

FOUNDERS = 7


def written(effects: list[Effect]) -> list[Record]:
    return [record for effect in effects if isinstance(effect, Persist) for record in effect.records]


class Started:
    """One founder of seven that starts in epoch 3, and its clock."""

    def __init__(self, *, count: int = FOUNDERS, alone: bool = False, at_ms: int | None = None) -> None:
        self.seeds = seeds(count, "silence")
        self.network = make_network(self.seeds)
        self.params = self.network.params
        self.keys = [sign.public_key(seed) for seed in self.seeds]
        self.machine = Machine(self.network, self.seeds[0], 0, MANIFEST, 64)
        self.now = self.params.epoch_start_ms(3) + 1 if at_ms is None else at_ms
        self.machine.load([], [], self.now, alone=alone)

    @property
    def silence(self):
        return self.machine.context.silence

    def synced(self, *numbers: int) -> list[Record]:
        found: list[Record] = []
        for number in numbers:
            found += written(self.machine.handle(Synced(self.keys[number]), self.now))
        return found

    def tick(self, at_ms: int) -> list[Record]:
        self.now = at_ms
        return written(self.machine.handle(Tick(), at_ms))

    def own(self, epoch: int, *, before: Record | None = None) -> Record:
        """A record of this peer that its home does not hold."""
        return make_record(
            self.seeds[0],
            self.keys[0],
            self.network.id,
            epoch=epoch,
            seq=0 if before is None else before.seq + 1,
            prev=NO_PREV if before is None else before.id,
            kind=Kind.JOIN,
            payload=Join(0, self.machine.context.vrf_key, f"{epoch}").encode(),
        )

    def arrives(self, *records: Record) -> None:
        self.machine.handle(RecordsArrived(tuple(record.data for record in records), self.keys[1]), self.now)


def test_time_alone_does_not_end_the_silence_but_more_than_a_third_of_the_weight_does() -> None:
    """There are six others with weight. Two are not enough, for any time and any number of requests."""
    one = Started()
    for epoch in range(4, 40):
        assert one.tick(one.params.epoch_start_ms(epoch)) == []
        assert one.synced(1, 2, 1, 0) == []
    assert one.silence.progress() == (2, 3, 6)
    said = one.synced(3)
    assert {record.kind for record in said} == {Kind.NETWORK, Kind.MANIFEST, Kind.JOIN}
    assert one.silence.first_epoch == 40


def test_neighbours_without_weight_show_nothing() -> None:
    """Keys cost nothing, so any number of neighbours without weight does not count."""
    one = Started()
    for number in range(50):
        one.machine.handle(Synced(sign.public_key(seeds(50, "strangers")[number])), one.now)
    assert one.silence.is_on
    assert one.silence.progress() == (0, 3, 6)


def test_a_third_that_lies_ends_no_silence() -> None:
    """More than a third of the weight has to show the log. With two members, this is the other one."""
    for count in range(3, 40):
        one = Started(count=count)
        liars = count // 3
        one.synced(*range(1, 1 + liars))
        assert one.silence.is_on
        one.synced(1 + liars)
        assert not one.silence.is_on
    two = Started(count=2)
    two.synced(1)
    assert not two.silence.is_on


def test_a_lone_founder_goes_on_only_if_told_to() -> None:
    """No other peer can show its log, so the operator must confirm that its home is the newest."""
    silent, told = Started(count=1), Started(count=1, alone=True)
    assert silent.tick(silent.params.epoch_start_ms(90)) == []
    assert told.tick(told.now) != []
    assert told.silence.first_epoch == 4


def test_a_start_before_genesis_waits_for_genesis_only() -> None:
    """The key cannot have signed anything. All founders begin together, in the first epoch."""
    genesis = make_network(seeds(FOUNDERS, "silence")).params.genesis_ms
    early = Started(at_ms=genesis - 5_000)
    assert early.tick(genesis - 1) == []
    assert early.tick(genesis) != []
    assert early.silence.first_epoch == 0


def test_a_clock_that_was_behind_genesis_proves_nothing() -> None:
    """A machine that starts with an unset clock is silent like any other once the clock is set."""
    genesis = make_network(seeds(FOUNDERS, "silence")).params.genesis_ms
    unset = Started(at_ms=genesis - 500_000)
    assert unset.tick(unset.params.epoch_start_ms(900)) == []
    assert unset.silence.is_on
    assert unset.synced(1, 2, 3) != []
    assert unset.silence.first_epoch == 901


def test_what_was_shown_under_another_clock_is_forgotten() -> None:
    """Before the clock leapt, it may have hidden the newest records."""
    one = Started()
    one.synced(1, 2)
    one.tick(one.now - 3_600_000)
    one.tick(one.now + 3_600_000)
    assert one.silence.progress()[0] == 0
    assert one.synced(1, 2) == []
    assert one.synced(3) != []


def test_an_own_record_ahead_of_the_clock_keeps_the_peer_silent() -> None:
    """Others hold own records that this clock does not accept yet, so they have not shown all."""
    one = Started()
    one.synced(1, 2)
    one.arrives(one.own(9))
    assert one.silence.hidden_epoch == 9
    assert one.silence.progress()[0] == 0


def test_own_records_that_the_home_had_lost_are_taken_and_listened_after_for_an_epoch() -> None:
    """The process that wrote them may still run, and would then write another record within an epoch."""
    one = Started()
    one.arrives(one.own(2))
    assert one.synced(1, 2, 3) == []
    assert one.tick(one.params.epoch_start_ms(5) - 1) == []
    said = one.tick(one.params.epoch_start_ms(5))
    assert said[0].seq == 1
    assert one.silence.first_epoch == 6
    assert not one.silence.stopped


def test_an_own_record_behind_a_missing_one_keeps_the_peer_silent() -> None:
    """A part of the own log has not been shown."""
    one = Started()
    first = one.own(1)
    one.arrives(one.own(2, before=first))
    one.synced(1, 2, 3)
    assert one.tick(one.params.epoch_start_ms(8)) == []
    one.arrives(first)
    assert one.tick(one.params.epoch_start_ms(10))[0].seq == 2


def test_an_own_record_of_after_the_start_is_a_twins() -> None:
    """From then on nothing is signed, neither during the silence nor later."""
    one = Started()
    one.tick(one.params.epoch_start_ms(4))
    one.arrives(one.own(4))
    assert "another process" in one.silence.stopped
    assert one.synced(1, 2, 3) == []
    assert one.tick(one.params.epoch_start_ms(60)) == []
    assert not one.machine.context.has_signed


def test_an_old_own_record_after_the_own_first_word_ends_signing_too() -> None:
    """The log is forked already, and every further record makes it worse."""
    one = Started()
    assert one.synced(1, 2, 3) != []
    one.arrives(one.own(2))
    assert "had lost a record of epoch 2" in one.silence.stopped
    assert one.tick(one.params.epoch_start_ms(9)) == []


def test_a_certified_cut_of_after_the_start_ends_the_silence() -> None:
    """A peer without sync sessions gets the cut by gossip, and continues after its own log."""
    world = make_world(4, seed=21, disk_ms=0)
    world.run_epochs(4.3)  # no record is on its way
    world.catchup.up = lambda *_: None
    world.catchup.begin = lambda peer: None
    restart(world, 1)
    started = world.network.params.epoch_at(world.now_ms)
    peer = world.peers[1]

    def is_over() -> bool:
        return peer.machine.context.has_signed

    assert run_until(world, is_over, epochs_max=6)
    assert peer.machine.fold.latest.epoch > started
    assert peer.machine.context.silence.first_epoch > started + 1
    assert all(p.machine.context.ledger.statistics()["forked"] == 0 for p in world.peers)


def test_all_peers_of_a_network_start_again_after_any_time() -> None:
    """All peers are silent and show each other their logs, so cuts go on."""
    world = make_world(5, seed=22)
    world.run_epochs(4)
    before = world.peers[0].machine.fold.latest.index
    for peer in world.peers:
        world.stop(peer)
    world.run_epochs(20)
    for peer in world.peers:
        world.start(peer)
    assert run_until(world, lambda: world.peers[0].machine.fold.latest.index > before, epochs_max=6)
    assert all(not peer.machine.context.silence.is_on for peer in world.peers)


def test_two_of_three_founders_go_on_when_the_third_is_back() -> None:
    """One of them restarts while the third is away. A single other peer could lie, so it waits for both."""
    world = make_world(3, seed=23)
    world.run_epochs(4)
    world.stop(world.peers[2])
    world.run_epochs(1)
    restart(world, 1)
    before = world.peers[0].machine.fold.latest.index
    world.run_epochs(4)
    assert world.peers[1].machine.context.silence.is_on
    world.start(world.peers[2])
    assert run_until(world, lambda: world.peers[0].machine.fold.latest.index > before + 1, epochs_max=8)
