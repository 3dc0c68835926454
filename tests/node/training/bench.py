"""What a node's training stands on in tests: a state with an open round, a port that serves bytes, and a trainer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import trio

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.counters import Counters
from p2pverify.core.data.commitments import RowTable
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.records.payloads.rounds.seal import Trained
from p2pverify.core.records.payloads.rounds.votes import RoundVote
from p2pverify.core.state.history.notes import LiveDataset
from p2pverify.core.state.lines.notes import NO_RELEASE, LineNotes, Version
from p2pverify.core.state.rounds.notes import (
    NO_ROUNDS,
    ClosedRound,
    OpenedUpdate,
    OpenRound,
    SealedUpdate,
    TrainingPhase,
)
from p2pverify.core.state.state import State, genesis
from p2pverify.core.training.orders import EvaluateOrder, ReportedLosses, ReportOrder, TrainOrder
from p2pverify.core.training.result import RoundResult
from p2pverify.node.data.store import DataStore
from p2pverify.node.files.home import Home
from p2pverify.node.ports import AskError
from p2pverify.node.training.assembly import NodeTraining
from p2pverify.node.training.fetching import RoundFetcher
from p2pverify.node.training.ports import EvaluatedRound, TrainedBytes
from p2pverify.node.user_error import UserError
from p2pverify.store.blobs.store import BlobStore
from tests.support.lines import with_line
from tests.support.networks import MANIFEST, make_network, seeds

ROOT, DATASET = b"\x0a" * 32, b"\x0b" * 32
WEIGHTS = b"weights of version 0"
BASE = replace(MANIFEST, weights=sha256(WEIGHTS))
PLACE = RoundPlace(0, 1)


class FakeTrainer:
    """Its update and result follow from what it was given. `seen` are the blobs of the last evaluation."""

    def __init__(self) -> None:
        self.seen: dict[bytes, bytes] = {}
        self.serves_another = False
        self.prepared: list[tuple[bytes, TrainingRule]] = []
        self.fault = ""
        self.result = RoundResult(bytes(32), (), 0, sha256(b"new weights here"), bytes(32))

    def first(self, weights: Path, expected: bytes) -> bytes | None:
        data = weights.read_bytes()
        return data if sha256(data) == expected else None

    def served(self, weights: bytes) -> bytes | None:
        return b"served " + weights if self.serves_another else None

    def prepare(self, base: bytes, rule: TrainingRule) -> None:
        self.prepared.append((base, rule))
        if self.fault:
            raise UserError(self.fault)

    def update_bytes(self, base: bytes) -> int:
        assert base == WEIGHTS
        return 6

    def train(self, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
        return TrainedBytes(b"update", None, len(rows), b"shown by me")

    def report(self, order: ReportOrder, base: bytes, rows: RowTable, blobs: Mapping[bytes, bytes]) -> ReportedLosses:
        self.seen = dict(blobs)
        return ReportedLosses((len(rows), len(blobs)))

    def evaluate(
        self, order: EvaluateOrder, base: bytes, parent: Manifest, blobs: Mapping[bytes, bytes]
    ) -> EvaluatedRound:
        self.seen = dict(blobs)
        made = self.manifest(b"new weights here", parent, parent.digest)
        return EvaluatedRound(replace(self.result, manifest=made.digest), b"new weights here", made)

    def manifest(self, weights: bytes, named: Manifest, parent: bytes) -> Manifest:
        return replace(named, weights=sha256(self.served(weights) or weights), parent=parent)


@dataclass
class FakePort:
    """What peers have, by peer and SHA-256: bytes, or the reason why they do not send them. `asked` are the peers."""

    held: dict[bytes, dict[bytes, bytes | str]] = field(default_factory=dict)
    asked: list[bytes] = field(default_factory=list)

    async def fetch_blob(self, peer: bytes, digest: bytes, offset: int, length: int) -> bytes:
        await trio.lowlevel.checkpoint()
        self.asked.append(peer)
        found = self.held.get(peer, {}).get(digest, "unknown")
        if isinstance(found, str):
            raise AskError(found)
        return found[offset : offset + length]


class Bench:
    """A node of four founders with a line, its folder of blobs, and states that a test writes."""

    def __init__(self, folder: Path) -> None:
        founders = seeds(4)
        network = with_line(make_network(founders))
        line = replace(network.lines[0], genesis=BASE.digest)
        classes = tuple(replace(each, manifest=BASE.digest) for each in network.classes)
        params = replace(network.params, epoch_ms=60_000)
        network = replace(network, lines=(line,), manifests=(BASE.digest,), classes=classes, params=params)
        self.keys = [sign.public_key(seed) for seed in founders]
        self.votes: list[bytes] = []
        state = genesis(network)
        state = replace(state, members={key: replace(state.members[key], active=True) for key in self.keys})
        self.machine: Any = SimpleNamespace(
            network=network,
            key=self.keys[0],
            fold=SimpleNamespace(latest=state),
            context=SimpleNamespace(
                class_index=0,
                secret=lambda *parts: sha256(repr(parts).encode()),
                ledger=SimpleNamespace(chain=self._chain, named=lambda: (), get=lambda _id: None),
            ),
        )
        home = Home(folder / "home")
        home.path.mkdir()
        (folder / "weights").write_bytes(WEIGHTS)
        self.places: dict[bytes, Path] = {BASE.weights: folder / "weights"}
        self.rows = DataStore(home)
        self.store = BlobStore(folder / "rounds", 10**8)
        self.trainer = FakeTrainer()
        self.port = FakePort()
        self.start()

    def start(self) -> None:
        """The node begins, or begins again: only its files are left."""
        find = lambda manifest: self.places.get(manifest.weights)  # noqa: E731
        self.training = NodeTraining(self.machine, [BASE], self.trainer, self.rows, self.store, find)
        self.blobs = self.training.blobs
        self.fetcher = RoundFetcher(self.machine, self.port, self.blobs, Counters())

    def _chain(self, voter: bytes) -> list[Any]:
        return (
            [SimpleNamespace(kind=Kind.ROUND_VOTE, payload=vote) for vote in self.votes]
            if voter == self.keys[1]
            else []
        )

    def final(self, **changes: Any) -> State:
        """The next final state."""
        now = self.machine.fold.latest
        self.machine.fold.latest = replace(now, index=now.index + 1, **changes)
        return self.machine.fold.latest

    def open(self, *updates: OpenedUpdate) -> State:
        """A final state with an open round; the authors of the updates are the members from the second on."""
        current = OpenRound(1, 0, BASE.digest, 1, 1, bytes(32), frozenset(self.keys), TrainingPhase.OPENING)
        authors = self.keys[1 : 1 + len(updates)]
        seals = {author: SealedUpdate(bytes(32), 1, DATASET, 0) for author in authors}
        current = replace(current, seals=seals, updates=dict(zip(authors, updates, strict=True)))
        live = LiveDataset(self.keys[1], ROOT, 9, bytes(32), 100, 1, 1)
        rounds = {0: replace(NO_ROUNDS, newest=1, open=current)}
        return self.final(rounds=rounds, datasets={DATASET: live})

    def close(self) -> State:
        """A final state in which the round is over."""
        over = ClosedRound(1, 0, -1, 2, 0, ())
        return self.final(rounds={0: replace(NO_ROUNDS, newest=1, closed=(over,))})

    def version(self, weights: bytes) -> Version:
        """A final state with a version that a round made of these weights; one vote is in the ledger."""
        manifest = self.trainer.manifest(weights, BASE, BASE.digest)
        result = RoundResult(bytes(32), (), 5, sha256(weights), manifest.digest)
        self.votes.append(RoundVote(PLACE, bytes(32), result, bytes(32)).encode())
        made = Version(1, manifest.digest, NO_RELEASE, result.digest, frozenset(), (BASE.digest,), 1, (None,))
        self.final(lines={0: LineNotes(self.machine.network.lines[0].publishers, (made,), 1)})
        return made


def opened(update: bytes, shown: bytes) -> OpenedUpdate:
    """A counted update of these bytes, over the data set of the bench."""
    return OpenedUpdate(Trained(sha256(update), None, 5), sha256(shown), len(shown), ROOT, 9, bytes(32), 4, 0, 0)
