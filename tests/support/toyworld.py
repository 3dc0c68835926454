"""A world of machines that compute with the toy engine, so that another process can compute their answers again."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Output
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.events import REFEREE, Compute, Computed, MeasureDone, MeasureJob
from p2pverify.engine import toy
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files.networkfile import manifest_of
from p2pverify.store.exportfile import ExportHeader
from p2pverify.testnet.world.liars.registry import make_actor
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs
from p2pverify.testnet.world.peer.engine import ACROSS, Job, Outcome, Say, SimulatedEngine
from tests.support.golden import golden_path, make_golden
from tests.support.networks import seeds
from tests.support.worlds import make_world

PATHS = ("sha256", "other")
JOB_MS = 150
#: Says for a sampler's key (32 B) whether a peer lies.
Lie = Callable[[bytes], bool]


def always(_key: bytes) -> bool:
    return True


def share(rate: float) -> Lie:
    """Lie on a share `rate` of the questions."""

    def lies(key: bytes) -> bool:
        return int.from_bytes(hashlib.sha256(b"lie" + key).digest()[:4], "big") < rate * 2**32

    return lies


class ToyWorld:
    """A world whose manifest has the golden answers of the toy paths. `lies` has the liars, by number.

    All liars tell the same lie. The answers of the model `later` (the digest of its manifest) are of this kind too.
    """

    later = b""

    def __init__(
        self, count: int, *, seed: int, classes: int = 1, lies: Mapping[int, Lie] | None = None, **rules: Any
    ) -> None:
        self.classes = classes
        self.engines = [ToyEngine(path=path) for path in PATHS]
        self.referee = ToyEngine(path=toy.REFEREE_PATH, engine=toy.REFEREE)
        self.liar = ToyEngine("liar")
        golden = make_golden(self.engines[0])
        golden = golden.merged([golden_path(one, golden.questions) for one in (self.engines[1], self.referee)])
        self.manifest = replace(manifest_of(self.engines[0].info), golden=golden)
        keys = [public_key(each) for each in seeds(count, f"world-{seed}")]
        self.lies = {keys[number]: lie for number, lie in (lies or {}).items()}
        self.world = make_world(
            count,
            seed=seed,
            classes=classes,
            contract=self._contract,
            make=self._actor,
            engine=lambda actor: _WorldEngine(self, actor),
            **rules,
        )
        self.network = self.world.network
        self.peers = self.world.peers
        self.run_epochs = self.world.run_epochs

    def _contract(self, usual: Network) -> Network:
        """One class for each path, of the toy model."""
        bounds = ACROSS if self.classes > 1 else None
        classes = tuple(
            DeterminismClass(path, self.manifest.digest, toy.ENGINE, path, 1_000, bounds)
            for path in PATHS[: self.classes]
        )
        referee = toy.REFEREE if self.classes > 1 else ""
        return replace(usual, manifests=(self.manifest.digest,), classes=classes, referee=referee)

    def _actor(self, kind: str, args: ActorArgs) -> Actor:
        return make_actor(kind, replace(args, manifest=self.manifest))

    def header(self) -> ExportHeader:
        """The header of an export of the first peer's records."""
        latest = self.peers[0].machine.fold.latest
        return ExportHeader(self.network.id, self.network.encode(), latest.id)

    def records(self) -> list[bytes]:
        """The records of the first peer."""
        return [record.data for record in self.peers[0].machine.context.ledger.records()]


class _WorldEngine(SimulatedEngine):
    """A peer's toy engine in virtual time."""

    def __init__(self, world: ToyWorld, actor: Actor) -> None:
        super().__init__(JOB_MS, JOB_MS, actor.machine.context.class_index)
        self.world = world
        self._lie = world.lies.get(actor.key)

    def outcome(self, job: Job, total_ms: int, say: Say) -> Outcome:
        return self._score(job) if isinstance(job, MeasureJob) else self._answer(job, total_ms)

    def _score(self, job: MeasureJob) -> MeasureDone:
        scored = self.world.referee.score(job.ask, job.tokens)
        return MeasureDone(job.job, scored.deficits, scored.ends)

    def _answer(self, job: Compute, total_ms: int) -> Computed:
        honest = self.world.referee if job.role == REFEREE else self.world.engines[self.path]
        prompt = job.ask.prompt
        if job.prompt_seed is not None:
            prompt = honest.write_prompt(job.prompt_seed, job.prompt_tokens)
        if not job.ask.tokens_max:
            return Computed(job.job, prompt, Output((), "length"), total_ms, 1, 1)
        lies = self._lie is not None and self._lie(job.ask.sampler_key)
        is_other = lies or job.model == self.world.later
        made = (self.world.liar if is_other else honest).answer(job.asked(prompt))
        return Computed(job.job, prompt, made.output, total_ms, 1, 1)
