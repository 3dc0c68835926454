"""The models that clients of one node can name: those of the network file, and the released versions of the final view.

A name means the version of a line that is usual now, and a digest means one manifest.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.machine import Machine
from p2pverify.core.state.lines.notes import LineNotes
from p2pverify.core.state.lines.versions import Status, current_in, notes_of, number_of, status_of
from p2pverify.node.clients.choice import NodeView
from p2pverify.node.clients.models.named import models_named
from p2pverify.node.clients.models.served import ServedModel
from p2pverify.node.lines.known import NO_MANIFESTS, released_manifests
from p2pverify.node.ports import ModelInfo

Make = Callable[[Manifest, bytes, ModelInfo | None], ServedModel]
"""Makes a model for clients, of a manifest, its digest (32 B), and what this node's engine says if it runs it."""


@dataclass(frozen=True, slots=True)
class VersionOf:
    """A version of a line, by the newest final view. `is_usual`: the line's name means it now."""

    line: str
    number: int
    status: Status
    is_usual: bool


class Catalog:
    """The models of a network for the clients of one node.

    This node started with the model of the manifest `first`, whose engine is `info`. `listed` are the manifests of the
    network file, and `trained` those of versions that training rounds made.
    """

    def __init__(
        self,
        machine: Machine,
        view: NodeView,
        first: Manifest,
        info: ModelInfo,
        listed: Iterable[Manifest],
        make: Make,
        trained: Mapping[bytes, Manifest] = NO_MANIFESTS,
    ) -> None:
        self._machine = machine
        self._view = view
        self._info = info
        self._make = make
        self._trained = trained
        digest = machine.network.classes[machine.context.class_index].manifest
        self._first = make(first, digest, info)
        others = {one.digest: make(one, one.digest, None) for one in listed if one.digest != digest}
        self._listed = {digest: self._first, **others}
        #: By the digest of the manifest.
        self.models = dict(self._listed)
        self._lines: dict[bytes, int] = {}  # by the digest of a manifest of a line
        self._noted: tuple[dict[int, LineNotes], int] | None = None  # what was taken up last

    @property
    def own(self) -> ServedModel:
        """The model that this node serves."""
        self.refresh()
        return self.models.get(self._view.own_manifest, self._first)

    def all(self) -> tuple[ServedModel, ...]:
        """All models, this node's first."""
        own = self.own
        return (own, *(one for one in self.models.values() if one is not own))

    def find(self, digest: bytes) -> ServedModel | None:
        """The model of a manifest; None if the network has none, or none any more."""
        self.refresh()
        return self.models.get(digest)

    def named(self, name: str, peer: bytes | None = None) -> list[ServedModel]:
        """The models that a client can mean by a name, or by the digest of a manifest in hexadecimal.

        The name of a line, or of any of its versions, means the version of the line that is usual now; if the client
        names a `peer` too, the one that this peer serves.
        """
        self.refresh()
        lines = self._machine.network.lines
        found = models_named({digest: one.manifest for digest, one in self.models.items()}, name)
        if [digest.hex() for digest in found] == [name]:
            return [self.models[digest] for digest in found]
        found += [digest for digest, line in self._lines.items() if lines[line].name == name]
        at = next((each.model for each in self._view.peers() if each.peer == peer), b"")
        usual = (self._usual(self._lines[digest], at) if digest in self._lines else digest for digest in found)
        return [self.models[digest] for digest in dict.fromkeys(usual)]

    def version_of(self, model: ServedModel) -> VersionOf | None:
        """Which version a model is; None if it is of no line."""
        self.refresh()
        line, network, state = self._lines.get(model.digest), self._machine.network, self._machine.fold.latest
        if line is None:
            return None
        kind, notes = network.lines[line], notes_of(network, state, line)
        number = number_of(kind, notes, model.digest)
        assert number is not None  # `refresh` found it there
        status = status_of(kind, notes, number, state.epoch)
        return VersionOf(kind.name, number, status, self._usual(line) == model.digest)

    def refresh(self) -> None:
        """Take up the versions of the newest final view, and what this node can run meanwhile."""
        context, state = self._machine.context, self._machine.fold.latest
        noted = (state.lines, len(self._trained))
        if noted != self._noted:
            self._noted = (dict(state.lines), len(self._trained))
            self._take(released_manifests(self._machine, self._trained))
        for digest, held in context.held.items():
            model = self.models.get(digest)
            if model is not None and model.info is None:
                vocab = self._info.vocab_tokens if held.vocab_tokens is None else held.vocab_tokens
                model.info = replace(self._info, context_tokens=held.context_tokens, vocab_tokens=vocab)

    def _take(self, released: dict[bytes, tuple[int, Manifest]]) -> None:
        new = {
            digest: self._make(manifest, digest, None)
            for digest, (_, manifest) in released.items()
            if digest not in self.models
        }
        known = {**self.models, **new}
        self.models = {**self._listed, **{digest: known[digest] for digest in released}}
        genesis = {line.genesis: index for index, line in enumerate(self._machine.network.lines)}
        lines = {**genesis, **{digest: line for digest, (line, _) in released.items()}}
        self._lines = {digest: line for digest, line in lines.items() if digest in self.models}

    def _usual(self, line: int, wanted: bytes = b"") -> bytes:
        """The manifest that the name of a line means: the one that is `wanted`, if it is one of the line.

        Else it is the current version if a peer of good standing serves it, else the one that most of them serve.
        """
        if self._lines.get(wanted) == line:
            return wanted
        network, state = self._machine.network, self._machine.fold.latest
        current, serving = current_in(network, state, line), self._view.serving()
        if serving[current] and current in self.models:
            return current
        known = [digest for digest, index in self._lines.items() if index == line]
        notes = notes_of(network, state, line)
        most = max(known, key=lambda digest: (serving[digest], number_of(network.lines[line], notes, digest) or 0))
        return most if serving[most] or current not in self.models else current
