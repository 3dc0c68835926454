"""A home that begins with a state: from honest peers and from liars, killed at any point, and what it refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from p2pverify.core.blobs.plan import SourceFault
from p2pverify.core.contract.network import Network
from p2pverify.core.counters import Counters
from p2pverify.core.proofs.exchange import PassportSet
from p2pverify.core.proofs.passport import Certificate
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.replica.base import Base
from p2pverify.core.snapshot.checkpoints import Checkpoints
from p2pverify.core.snapshot.messages import (
    CERTIFICATE,
    HASHES,
    LEAVES,
    NEWEST,
    PARTS,
    RECORD,
    NewestStates,
    StateRequest,
    decode_newest,
)
from p2pverify.core.snapshot.trust import TrustedCut
from p2pverify.core.state.codec.sections import decode_state
from p2pverify.node.files.home import Home
from p2pverify.node.ports import AskError
from p2pverify.node.snapshot.fetching import StateError, StateFetcher
from p2pverify.node.snapshot.joining import ContradictionError, FetchedState, JoinWish, Newcomer
from p2pverify.node.snapshot.kept import KeptContradiction, KeptError, KeptTrust, SnapshotHome
from tests.support.states import (
    CUTS,
    FakePeers,
    Lie,
    ServedNetwork,
    honest,
    other_cut,
    served_network,
    served_release,
    showing,
)

KNOWN = served_network()
OLD, NEW = (each.cut for each in KNOWN.served)
A, B, C, D = (letter * 32 for letter in (b"A", b"B", b"C", b"D"))
GROUPS = {A: "192.0.2.1", B: "198.51.100.1", C: "203.0.113.1"}


@dataclass
class Bench:
    """One home, and the peers that it asks."""

    path: Path
    lies: dict[bytes, Lie]
    network: Network = KNOWN.network
    groups: Mapping[bytes, str] | None = None
    epoch: int = CUTS + 2
    served: ServedNetwork = KNOWN

    def __post_init__(self) -> None:
        self.path.mkdir(exist_ok=True)
        self.home = SnapshotHome(Home(self.path))
        self.port = FakePeers(self.served, self.lies)
        self.fetcher = StateFetcher(self.network.id, self.port, self.home, Counters())
        self.fetched: Base | None = None
        self.seen: list[tuple[int | None, int, int]] = []

    async def join(self, wish: JoinWish) -> FetchedState | None:
        groups = {peer: GROUPS.get(peer, "") for peer in self.lies} if self.groups is None else self.groups
        now_ms = self.network.params.epoch_start_ms(self.epoch) + 1
        newcomer = Newcomer(
            *(self.network, self.home, self.fetcher, groups, lambda: now_ms),
            lambda *progress: self.seen.append(progress),
        )
        found = await newcomer.fetch(wish)
        self.fetched = None if found is None else found.base
        if found is not None:
            self.home.keep_trust(found.trust)
            self.home.end_download()
        return found


def _whole() -> Base:
    cuts = tuple(cut for index in range(29, 33) if (cut := KNOWN.fold.latest.at_index(index)) is not None)
    return Base(cuts, tuple(KNOWN.fold.states[cut] for cut in cuts))


async def test_from_an_older_checkpoint_to_the_newest_state(tmp_path: Path) -> None:
    """The base is that of the whole fold, and the home says why it believes it."""
    bench = Bench(tmp_path, {A: honest})
    found = await bench.join(JoinWish(OLD))
    assert found is not None
    assert bench.fetched == _whole()
    assert found.trust == bench.home.trust() == KeptTrust(OLD.hex(), "operator", NEW.hex(), found.epoch)
    assert found.age == CUTS + 2 - found.epoch
    assert not (tmp_path / "state").exists()
    epochs = {epoch for epoch, _, _ in bench.seen if epoch is not None}
    assert epochs == {found.epoch}
    assert bench.seen[-1][1] == bench.seen[-1][2] > 0


async def test_several_peers_share_the_work(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {A: honest, B: honest, C: honest})
    await bench.join(JoinWish(NEW))
    assert bench.fetched == _whole()
    assert {peer for peer, request in bench.port.asked if request.what == LEAVES} == {A, B, C}


def _lying_about(what: str, false: bytes) -> Lie:
    return lambda request, answer: false if request.what == what else answer


def _flipped(what: str) -> Lie:
    return lambda request, answer: answer[:-1] + bytes([answer[-1] ^ 1]) if request.what == what else answer


@pytest.mark.parametrize("what", [RECORD, PARTS, HASHES, LEAVES])
@pytest.mark.parametrize("lie", ["flipped", "garbage", "other"])
async def test_a_liar_is_dropped_and_counted(what: str, lie: str, tmp_path: Path) -> None:
    """Its first false bytes show it. The other peer's are enough."""
    lies = {"flipped": _flipped(what), "garbage": _lying_about(what, b"\xff"), "other": _lying_about(what, b"\x80")}
    bench = Bench(tmp_path, {A: lies[lie], B: _busy_once(what)})
    await bench.join(JoinWish(NEW))
    assert bench.fetched == _whole()
    assert bench.fetcher.dropped == {A: SourceFault.FALSE}
    assert bench.fetcher.counters["states_false"] == 1
    assert sum(peer == A and request.what == what for peer, request in bench.port.asked) == 1


def _busy_once(what: str) -> Lie:
    """A peer that is busy at the first request of a kind, so that the other one is asked."""
    refused: list[bool] = []

    def lie(request: StateRequest, answer: bytes) -> bytes:
        if request.what == what and not refused:
            refused.append(True)
            raise AskError("busy")
        return answer

    return lie


async def test_only_liars(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {A: _flipped(LEAVES), B: _flipped(LEAVES)})
    with pytest.raises(StateError, match="2 sent false bytes"):
        await bench.join(JoinWish(NEW))
    assert bench.fetched is None


async def test_a_false_certificate_counts_for_nothing(tmp_path: Path) -> None:
    """Whether it is garbage, of another cut, or has too few signatures."""
    stripped = replace(KNOWN.certificate(NEW), signatures=KNOWN.certificate(NEW).signatures[:1])
    for number, false in enumerate((b"", b"\xff", _certificate(OLD), _encoded(stripped))):
        lie = partial(_answering, StateRequest(CERTIFICATE, NEW), false)
        bench = Bench(tmp_path / str(number), {A: lie})
        if number < 3:  # it is dropped
            with pytest.raises(StateError, match="there is no peer to ask"):
                await bench.join(JoinWish(OLD))
            assert bench.fetcher.dropped == {A: SourceFault.FALSE}
        else:
            await bench.join(JoinWish(OLD))
            assert bench.fetched is not None
            assert bench.fetched.newest == OLD
            assert bench.fetcher.counters["states_refuted"] == 1
        both = Bench(tmp_path / f"both {number}", {A: lie, B: honest})
        await both.join(JoinWish(OLD))
        assert both.fetched == _whole()


def _answering(to: StateRequest, false: bytes, request: StateRequest, answer: bytes) -> bytes:
    return false if request == to else answer


def _certificate(cut: bytes) -> bytes:
    found = KNOWN.server.checkpoints.get(cut)
    assert found is not None
    return found


def _encoded(certificate: Certificate) -> bytes:
    return PassportSet(certificate, ()).encode()


async def test_a_trusted_cut_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="has a certificate of the trusted cut") as caught:
        await Bench(tmp_path, {A: honest}).join(JoinWish(bytes(32)))
    assert "checkpoint" in caught.value.hint


async def test_a_network_that_is_another_one(tmp_path: Path) -> None:
    """Its certificates are of another network than the file's."""
    other = replace(KNOWN.network, name="another")
    bench = Bench(tmp_path, {A: honest}, network=other)
    with pytest.raises(StateError):
        await bench.join(JoinWish(OLD))
    assert bench.fetcher.dropped == {A: SourceFault.FALSE}


async def test_an_old_checkpoint_is_refused(tmp_path: Path) -> None:
    """Unless the operator insists; the age of what it gets is told."""
    bench = Bench(tmp_path, {A: honest}, epoch=1_000_000)
    with pytest.raises(StateError, match="epochs old") as caught:
        await bench.join(JoinWish(OLD))
    assert "--trust-old" in caught.value.hint
    found = await bench.join(JoinWish(OLD, old=True))
    assert found is not None
    assert found.age > 900_000


@pytest.mark.parametrize("count", [2, 3])
async def test_trust_by_first_peers(count: int, tmp_path: Path) -> None:
    """Three address groups are enough, two are not."""
    bench = Bench(tmp_path, dict.fromkeys((A, B, C)[:count], honest))
    found = await bench.join(JoinWish())
    if count == 2:
        assert found is None
        assert bench.fetched is None
    else:
        assert found is not None
        assert bench.fetched == _whole()
        assert bench.home.trust() == KeptTrust(NEW.hex(), "bootstrap", NEW.hex(), found.epoch, 3, 3, 3)


async def test_why_a_home_began_stays_known(tmp_path: Path) -> None:
    """A home that was trusted by bootstrap and comes back from an earlier state of its own still says so."""
    bench = Bench(tmp_path, dict.fromkeys((A, B, C), honest))
    await bench.join(JoinWish())
    old = KNOWN.certificate(OLD)
    own = TrustedCut(OLD, old.head.index, old.head.epoch, frozenset(old.weighted))
    await bench.join(JoinWish(own=own))
    kept = bench.home.trust()
    assert kept is not None
    assert (kept.by, kept.base) == ("bootstrap", NEW.hex())


async def test_peers_that_say_nothing(tmp_path: Path) -> None:
    def silent(_request: StateRequest, _answer: bytes) -> bytes:
        raise AskError("timeout")

    bench = Bench(tmp_path, {A: silent, B: _lying_about(NEWEST, b"\xff"), C: honest})
    await bench.join(JoinWish(NEW))
    assert bench.fetched == _whole()
    assert bench.fetcher.dropped[B] is SourceFault.FALSE


async def test_a_download_that_was_killed_goes_on(tmp_path: Path) -> None:
    """At each request in turn: what was fetched is kept, and the end is the same."""

    class Killed(BaseException):
        """The process ends here."""

    asked = [request.what for request in await _asked(tmp_path / "whole")]
    for number in (*(asked.index(what) for what in dict.fromkeys(asked)), asked.index(LEAVES) + 2, len(asked) - 1):
        bench = Bench(tmp_path / f"killed {number}", {A: honest})
        left = number

        def before(_request: StateRequest) -> None:
            nonlocal left
            if not left:
                raise Killed
            left -= 1

        bench.port.before = before
        with pytest.raises((Killed, BaseExceptionGroup)) as caught:
            await bench.join(JoinWish(NEW))
        assert isinstance(caught.value, Killed) or caught.group_contains(Killed)
        assert bench.fetched is None
        again = Bench(tmp_path / f"killed {number}", {A: honest})
        await again.join(JoinWish(NEW))
        assert again.fetched == _whole()
    assert again.fetcher.counters["states_leaves_kept"] > 0


async def _asked(path: Path) -> list[StateRequest]:
    bench = Bench(path, {A: honest})
    await bench.join(JoinWish(NEW))
    return [request for _, request in bench.port.asked]


async def test_a_damaged_part_is_fetched_again(tmp_path: Path) -> None:
    """A truncated end, another byte, a length that is too large: what follows is not believed."""
    leaves = [b"a leaf", b"another"]
    for number, damage in enumerate((lambda d: d[:-1], lambda d: d[:4] + b"A" + d[5:], lambda d: b"\xff" * 4 + d)):
        bench = Bench(tmp_path / str(number), {A: honest})
        bench.home.add_leaves(leaves)
        path = tmp_path / str(number) / "state" / "leaves"
        path.write_bytes(damage(path.read_bytes()))
        await bench.join(JoinWish(NEW))
        assert bench.fetched == _whole()


async def test_certified_cuts_that_contradict_each_other(tmp_path: Path) -> None:
    """Both are kept, nothing is fetched in their place, and the error names both."""
    record = KNOWN.fold.ledger.get(NEW)
    assert record is not None
    author, seq, found = decode_cut(record.payload).moved[0]
    made, certificate = other_cut(KNOWN, NEW, ((author, seq + 1, found),))
    bench = Bench(tmp_path, {A: honest, B: showing(made, certificate, 32)})
    with pytest.raises(ContradictionError) as caught:
        await bench.join(JoinWish(OLD))
    kept = bench.home.contradiction()
    assert kept is not None
    assert {kept.one, kept.other} == {NEW.hex(), made.id.hex()}
    assert kept.proof_of_one
    assert kept.proof_of_other
    assert NEW.hex() in caught.value.reason
    assert made.id.hex() in caught.value.reason
    assert bench.fetched is None
    bench.home.settle_contradiction()
    assert bench.home.contradiction() is None
    assert (tmp_path / "contradiction.settled").exists()


async def test_a_cut_that_contains_the_other_is_no_contradiction(tmp_path: Path) -> None:
    """Of two certified cuts with one index, one can contain the other."""
    record = KNOWN.fold.ledger.get(NEW)
    assert record is not None
    moved = decode_cut(record.payload).moved
    made, certificate = other_cut(KNOWN, NEW, moved[:-1])
    bench = Bench(tmp_path, {A: honest, B: showing(made, certificate, 32)})
    await bench.join(JoinWish(OLD))  # nobody has the state at the other cut
    assert bench.fetched == _whole()
    assert bench.home.contradiction() is None


def test_files_that_are_damaged(tmp_path: Path) -> None:
    home = SnapshotHome(Home(tmp_path))
    assert home.trust() is home.contradiction() is None
    for name, read in (("trust", home.trust), ("contradiction", home.contradiction)):
        for damage in (b"", b"{}", b"\xff", b"[" * 100_000):
            (tmp_path / name).write_bytes(damage)
            with pytest.raises(KeptError, match=name):
                read()
    (tmp_path / "contradiction").unlink()
    first = KeptContradiction("aa", "bb", "", "")
    home.keep_contradiction(first)
    home.keep_contradiction(KeptContradiction("cc", "dd", "", ""))
    assert home.contradiction() == first


def test_checkpoints_on_disk(tmp_path: Path) -> None:
    """They are the same after a restart, and a damaged one is left out."""
    home = SnapshotHome(Home(tmp_path))
    home.keep_checkpoints(KNOWN.server.checkpoints)
    found = Checkpoints()
    home.load_checkpoints(found)
    assert found.listed() == KNOWN.server.checkpoints.listed()
    first = min((tmp_path / "checkpoints").iterdir())
    first.write_bytes(b"\xff")
    again = Checkpoints()
    home.load_checkpoints(again)
    assert again.listed() == KNOWN.server.checkpoints.listed()[1:]
    home.keep_checkpoints(again)
    assert not first.exists()
    home.end_download()  # of a state of another path, maybe
    home.load_checkpoints(empty := Checkpoints())
    assert not empty.listed()


def test_what_peers_say_of_their_states() -> None:
    told = decode_newest(KNOWN.server.newest().encode())
    assert told == KNOWN.server.newest()
    assert isinstance(told, NewestStates)
    assert told.on_path() == {OLD: 16, NEW: 32}


async def test_the_records_that_the_state_names_come_with_it(tmp_path: Path) -> None:
    """The release lies below the base. A false one costs its sender, and one that nobody has is left out."""
    known = served_release()
    (release,) = (record for record in known.records if record.kind == Kind.RELEASE)
    cut = known.served[-1].cut
    assert decode_state(known.fold.states[cut]).state.heads[release.author][1] > release.seq

    def other(request: StateRequest, answer: bytes) -> bytes:
        return known.records[0].data if request == StateRequest(RECORD, release.id) else answer

    def without(request: StateRequest, answer: bytes) -> bytes:
        if request == StateRequest(RECORD, release.id):
            raise AskError("unknown")
        return answer

    for name, lies, named, dropped in (
        ("found", {A: other, B: honest}, (release,), None),  # whoever is asked first
        ("false", {A: other}, (), {A}),
        ("lost", {A: without}, (), set()),
    ):
        bench = Bench(tmp_path / name, lies, network=known.network, served=known)
        found = await bench.join(JoinWish(cut))
        assert found is not None
        assert found.named == named
        assert bench.fetcher.dropped.keys() <= {A}
        assert dropped is None or bench.fetcher.dropped.keys() == dropped
