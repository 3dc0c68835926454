"""Rounds of a language model: its part of `RoundTools`. Protocol page: protocol/lora.md.

Trainings and losses belong to a class; all else is integers. A machine judges updates, and trains where rows are open,
only if a training of drawn rows gives the digest that the rule names. Losses are rounded down to multiples of
LOSS_STEP: the credits are exact integers that follow from them.
"""

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.history.lora import LoraRule
from p2pverify.core.contract.history.training import ONE_Q16, TrainingRule
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.data.texts import TEXT_BYTES_MAX, TextSchema
from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import digest, sha256
from p2pverify.engine.errors import EngineUnavailable, WeightsError
from p2pverify.engine.gguf import weights as model_weights
from p2pverify.engine.gguf.reader import read_head
from p2pverify.engine.language import open_tokeniser
from p2pverify.engine.llama.bindings import LlamaModel
from p2pverify.engine.lora.adapter import Adapter, decode_adapter, initial, shape_of
from p2pverify.engine.lora.merge import merge_adapter
from p2pverify.engine.lora.model import LoraModel, numeric_path
from p2pverify.engine.tabular.evaluation import RoundTools
from p2pverify.engine.tabular.manifest import PROVENANCE
from p2pverify.engine.tabular.numbers import Ints, drawn_words
from p2pverify.engine.tabular.sgd import batches
from p2pverify.engine.tabular.update import clipped
from p2pverify.engine.trainer import RoundTrainer
from p2pverify.node.user_error import UserError

STEP_DOMAIN = "p2pverify/lora/step/1"
GOLDEN_DOMAIN = "p2pverify/lora/golden/1"
GOLDEN_ROWS = b"p2pverify/lora/golden-rows/1\0"
#: Steps of the training that proves the class: in the first one only the matrices B get a gradient.
GOLDEN_STEPS = 2
#: Rows of it whose losses are in the proof.
GOLDEN_LOSSES = 2
#: Losses of a shard, in micronats, are rounded down to a multiple of this.
LOSS_STEP = 1000


class LoraFault(UserError):
    """This machine cannot take part in rounds of a language model."""


@dataclass(frozen=True, eq=False)
class TokenRows:
    """The tokens of texts, each cut to those that the rule reads."""

    rows: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def taken(self, index: NDArray[np.intp]) -> "TokenRows":
        """Some of the rows, by number."""
        return TokenRows(tuple(self.rows[at] for at in index.tolist()))


@dataclass(frozen=True, eq=False)
class LoraRun:
    """A training: the update in Q24, shrunk to the norm that the rule allows, and a leaf (32 B) for each step."""

    update: Ints
    leaves: tuple[bytes, ...]

    @property
    def steps_root(self) -> bytes:
        """The Merkle root (32 B) over the leaves."""
        return merkle.root(self.leaves)


class LoraTools(RoundTools):
    """Any thread may call it; one computes at a time. The weights stay in memory from the first use on."""

    def __init__(self, find: Callable[[bytes], Path | None]) -> None:
        """`find` gives the file of weights on this machine by its SHA-256 (32 B)."""
        self._find = find
        self._lock = threading.RLock()
        self._loaded: tuple[bytes, LoraModel] | None = None
        self._tokenisers: dict[bytes, LlamaModel] = {}
        self._goldens: dict[tuple[object, ...], bytes] = {}

    # ------------------------------------------------------------ integers

    def open(self, base: bytes) -> Adapter:
        """See the protocol."""
        return decode_adapter(base)

    def first(self, weights: Path, file: bytes, rank: int) -> Adapter:
        """The adapter with which the rounds of a file begin, whose SHA-256 is `file`. Raises LoraFault."""
        try:
            return initial(file, shape_of(read_head(weights), rank))
        except WeightsError as error:
            raise LoraFault(str(error)) from None

    def clip(self, rule: TrainingRule) -> int:
        """See the protocol."""
        return rule.clip_q16 << 8

    def manifest(self, model: Adapter, parent: Manifest) -> Manifest:
        """The manifest of the merged file. The classes are the parent's, so it needs no golden answers of its own."""
        return Manifest(
            parent.model,
            sha256(self.merged(model)),
            parent.tokenizer,
            parent.template,
            parent.quantisation,
            parent.licence,
            PROVENANCE,
            parent.digest,
        )

    def merged(self, adapter: Adapter) -> bytes:
        """The file that is served for an adapter. Raises LoraFault."""
        with tempfile.TemporaryDirectory(prefix="p2pverify-") as folder:
            target = Path(folder) / "merged"
            try:
                merge_adapter(self._file(adapter), adapter, target)
                return target.read_bytes()
            except (WeightsError, OSError) as error:
                raise LoraFault(f"the adapter cannot be merged: {error}") from None

    # ------------------------------------------------------------ texts

    def read(self, base: Adapter, rows: Sequence[bytes], rule: TrainingRule) -> TokenRows:
        """See the protocol."""
        texts, most = [_TEXTS.text(row) for row in rows], _own(rule).tokens
        with self._lock:
            if base.file not in self._tokenisers:
                try:
                    self._tokenisers = {base.file: open_tokeniser(self._file(base))}
                except EngineUnavailable as error:
                    raise LoraFault(str(error)) from None
            tokenise = self._tokenisers[base.file].tokenise
            return TokenRows(tuple(tokenise(text, special=False)[:most] for text in texts))

    # ------------------------------------------------------------ in a class

    def check(self, base: Adapter, rule: TrainingRule) -> None:
        """See the protocol. Raises LoraFault if this machine is not of the rule's class."""
        own = _own(rule)
        if base.shape.rank != own.rank:
            raise ValueError("the adapter has another rank than the rule")
        if self.golden(base, rule) != own.golden:
            raise LoraFault(
                f"this machine trains on the path {numeric_path()}, whose bits are not those of the rule's path "
                f"{own.path}: it takes no part where they matter"
            )

    def golden(self, base: Adapter, rule: TrainingRule) -> bytes:
        """The digest (32 B) that proves a class: of a short training of drawn rows by a rule, and of losses after it.

        It does not depend on the adapter, but on its file and its rank.
        """
        own = _own(rule)
        key = (base.file, own.rank, own.tokens, rule.batch, rule.lr_q16, rule.decay_q16)
        with self._lock:
            if key not in self._goldens:
                model = self._model(base)
                count = GOLDEN_STEPS * rule.batch
                drawn = [drawn_words(GOLDEN_ROWS, base.file, at, own.tokens) for at in range(count)]
                rows = TokenRows(tuple(tuple(word % model.vocab_tokens for word in each) for each in drawn))
                steps = islice(batches(np.arange(count), rule, base.file), GOLDEN_STEPS)
                with _translated():
                    leaves = self._steps(model, initial(base.file, base.shape), rows, rule, steps)
                    losses = model.losses(rows.rows[:GOLDEN_LOSSES])
                self._goldens = {key: digest([GOLDEN_DOMAIN, leaves, losses])}
            return self._goldens[key]

    def train(self, base: Adapter, rows: TokenRows, rule: TrainingRule, seed: bytes, numbers: Sequence[int]) -> LoraRun:
        """See the protocol."""
        own = _own(rule)
        if not len(rows) or base.shape.rank != own.rank:
            raise ValueError("there are no rows, or the adapter has another rank than the rule")
        with self._lock, _translated():
            model = self._model(base)
            steps = islice(batches(np.array(numbers, np.intp), rule, seed), own.steps)
            leaves = self._steps(model, base, rows, rule, steps)
            return LoraRun(clipped(model.weights() - base.weights, self.clip(rule)), tuple(leaves))

    def _steps(
        self,
        model: LoraModel,
        base: Adapter,
        rows: TokenRows,
        rule: TrainingRule,
        steps: Iterable[NDArray[np.intp]],
    ) -> list[bytes]:
        """Train from an adapter, in steps over these places of rows, and return the leaf of each step."""
        model.take(base)
        leaves = []
        for number, index in enumerate(steps):
            model.step(rows.taken(index).rows, rule.lr_q16 / ONE_Q16, rule.decay_q16 / ONE_Q16)
            leaves.append(digest([STEP_DOMAIN, number, sha256(model.weights_bytes())]))
        return leaves

    def losses(
        self,
        base: Adapter,
        shards: Sequence[Sequence[TokenRows]],
        rule: TrainingRule,  # noqa: ARG002 - losses do not depend on it
    ) -> Callable[[Adapter], Ints]:
        """See the protocol."""
        houses = [[row for shard in of_house for row in shard.rows] for of_house in shards]

        def of(adapter: Adapter) -> Ints:
            with self._lock, _translated():
                model = self._model(base)
                model.take(adapter)
                means = [sum(losses) // len(losses) for losses in map(model.losses, houses)]
            return np.array([mean // LOSS_STEP * LOSS_STEP for mean in means], np.int64)

        return of

    def _model(self, base: Adapter) -> LoraModel:
        """The weights in memory. Raises LoraFault."""
        if self._loaded is None or self._loaded[0] != base.file:
            self._loaded = None  # before the other one needs its memory
            path = self._file(base)
            try:
                model_weights.check(path, base.file)
                with _translated():
                    self._loaded = base.file, LoraModel(path)
            except EngineUnavailable as error:
                raise LoraFault(str(error)) from None
        return self._loaded[1]

    def _file(self, base: Adapter) -> Path:
        found = self._find(base.file)
        if found is None:
            raise LoraFault(f"this machine does not have the file of version 0 ({base.file.hex()[:16]})")
        return found


class LoraTrainer(RoundTrainer):
    """Rounds of a language model, by one rule."""

    def __init__(self, rule: TrainingRule, find: Callable[[bytes], Path | None]) -> None:
        self._lora = LoraTools(find)
        self._rank = _own(rule).rank
        super().__init__(self._lora)

    def first(self, weights: Path, expected: bytes) -> bytes | None:
        """See the port."""
        with weights.open("rb") as file:
            if hashlib.file_digest(file, "sha256").digest() != expected:
                return None
        return self._lora.first(weights, expected, self._rank).encode()

    def served(self, weights: bytes) -> bytes | None:
        """See the port."""
        return self._lora.merged(self._lora.open(weights))


def _own(rule: TrainingRule) -> LoraRule:
    if rule.lora is None:
        raise ValueError("the rule is not one of a language model")
    return rule.lora


@contextmanager
def _translated() -> Iterator[None]:
    """What PyTorch raises, as LoraFault: it says nothing of anybody's update."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        raise LoraFault(f"PyTorch cannot compute it: {' '.join(str(error).split())[:200]}") from None


#: A row is read by the bounds of all schemas of texts.
_TEXTS = TextSchema("text", TEXT_BYTES_MAX)
