"""Peers of the simulated world whose rounds are those of the bundled model: machines and trainings are real.

One of three contributors trains a step less than it says, where rows are open. Members of the class train again.
"""

from dataclasses import replace

from p2pverify.core.contract.history.training import OPEN, TrainingRule
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.data.commitments import commit_row, rows_root
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.payloads.data import Dataset
from p2pverify.core.state.lines.versions import notes_of
from p2pverify.core.training.orders import EvaluateOrder, TrainedUpdate, TrainingOrder, TrainingOutcome, TrainOrder
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.cheats.training import lying_trainer
from p2pverify.engine.gguf import weights
from p2pverify.engine.lora.tools import LoraTrainer
from p2pverify.testnet.world import World
from tests.support.datasets import dataset_of
from tests.support.lora import TEXTS, parent_of
from tests.support.networks import seeds
from tests.support.rounds import round_world
from tests.support.worlds import convicted, final, run_until

PEERS, CONTRIBUTORS, LIAR = 6, 3, 1
HELD, SHOWN = 8, 1
KEYS = sorted(sign.public_key(each) for each in seeds(PEERS, "world-1"))


class Trainings:
    """What every peer's node would compute. Equal orders have one result, which is computed once."""

    def __init__(self, trainer: LoraTrainer, first: bytes) -> None:
        self.honest = trainer
        self.lying = lying_trainer(CheatSpec("short-training"), trainer)
        self.first = first
        self.known: dict[bytes, tuple[bytes, Manifest]] = {}
        self.blobs: dict[bytes, bytes] = {}
        self.done: dict[tuple[bool, TrainingOrder], TrainingOutcome] = {}

    def rows(self, key: bytes) -> list[tuple[bytes, bytes]]:
        at = KEYS.index(key)
        return [(sha256(b"%d %d" % (at, number)), text) for number, text in enumerate(TEXTS[at:] + TEXTS[:at])]

    def dataset(self, key: bytes) -> Dataset:
        root = rows_root([commit_row(*row) for row in self.rows(key)])
        return replace(dataset_of(rows=len(TEXTS)), root=root)

    def outcome(self, key: bytes, order: TrainingOrder) -> TrainingOutcome:
        lies = isinstance(order, TrainOrder) and KEYS.index(key) == LIAR
        if (lies, order) not in self.done:
            self.done[lies, order] = self._compute(key, order, lies=lies)
        return self.done[lies, order]

    def _compute(self, key: bytes, order: TrainingOrder, *, lies: bool) -> TrainingOutcome:
        base, parent = self.known.get(order.base, (self.first, parent_of(weights.SHA256)))
        if isinstance(order, TrainOrder):
            made = (self.lying if lies else self.honest).train(order, base, self.rows(key))
            self.blobs |= {sha256(data): data for data in (made.update, made.shown)}
            return TrainedUpdate(sha256(made.update), made.steps, made.rows, sha256(made.shown), len(made.shown))
        assert isinstance(order, EvaluateOrder)
        found = self.honest.evaluate(order, base, parent, self.blobs)
        assert found.weights is not None
        assert found.manifest is not None
        self.known[found.manifest.digest] = (found.weights, found.manifest)
        return found.result


def make(trainings: Trainings, rule: TrainingRule) -> World:
    kept = ("trainer", "lora", "batch", "epochs", "lr_q16", "decay_q16", "clip_q16", "aggregate", "f")
    changes = {name: getattr(rule, name) for name in kept}
    own = {"mode": OPEN, "held_rows": SHOWN, "held": HELD, "rounds": HELD}
    return round_world(PEERS, CONTRIBUTORS, outcome=trainings.outcome, dataset=trainings.dataset, **{**changes, **own})


def test_a_contributor_that_skips_a_step_is_convicted(trainer: LoraTrainer, first: bytes, rule: TrainingRule) -> None:
    """Each round is decided with the updates of the others, and makes a version."""
    trainings = Trainings(trainer, first)
    world = make(trainings, rule)
    assert run_until(world, lambda: bool(convicted(world)), epochs_max=40)
    assert {world.peers[number].key for number in convicted(world)} == {KEYS[LIAR]}
    state = final(world)
    known = state.rounds[0]
    assert known.decided >= 3
    for over in known.closed:
        if over.contributions:
            findings = {each.row.author: int(each.row.finding) for each in over.contributions}
            assert findings == {key: int(key == KEYS[LIAR]) for key in KEYS[:CONTRIBUTORS]}
    versions = notes_of(world.network, state, 0).versions
    assert len(versions) == known.decided
    assert all(version.manifest in trainings.known for version in versions)
    assert not any(member.dissents for key, member in state.members.items() if key != KEYS[LIAR])
    assert [fault.partition(" is convicted")[0] for fault in world.invariants.faults] == [f"honest peer {LIAR}"]
