"""Contributors that break the rules of rounds around the training: whose seals and updates do not count."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.events import Effects
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.records.payloads.rounds.seal import decode_update_seal
from p2pverify.core.records.payloads.rounds.update import decode_update
from p2pverify.core.roles.rounds.contributor import Contributor
from p2pverify.core.state.rounds.notes import OpenRound
from p2pverify.core.state.state import State
from p2pverify.engine.cheats.spec import CheatSpec


class OverspendingContributor(Contributor):
    """Seals an update in each round, also when the privacy budget of its rows is used up."""

    def _takes_part(self, current: OpenRound) -> bool:  # noqa: ARG002 - in all rounds
        return True

    def _dataset(self, rule: TrainingRule, current: OpenRound, state: State) -> bytes | None:
        fitting = super()._dataset(rule, current, state)
        own = [key for key, offered in state.datasets.items() if offered.author == self._context.key]
        return fitting or next(iter(own), None)


class CopyingContributor(Contributor):
    """Publishes the seal of another contributor as its own, and later the opening of that seal."""

    def _seal(
        self, place: RoundPlace, rule: TrainingRule, current: OpenRound, state: State, now_ms: int
    ) -> Effects[None]:
        dataset = self._dataset(rule, current, state)
        found = next(self._others(Kind.UPDATE_SEAL, current, place), None)
        if dataset is None or found is None or not self._context.may_sign_of(current.opened_epoch):
            return
        self._sealed[place] = dataset
        seal = replace(decode_update_seal(found.payload), dataset=dataset)
        yield from self._context.write(Kind.UPDATE_SEAL, seal.encode(), now_ms)

    def _open(
        self,
        place: RoundPlace,
        rule: TrainingRule,  # noqa: ARG002 - it trains nothing
        current: OpenRound,
        state: State,
        now_ms: int,
    ) -> Effects[None]:
        found = next(self._others(Kind.UPDATE, current, place), None)
        if place in self._opened or found is None:
            return
        self._opened[place] = None
        update = replace(decode_update(found.payload), certificate=state.id)
        yield from self._context.write(Kind.UPDATE, update.encode(), now_ms)

    def _others(self, kind: Kind, current: OpenRound, place: RoundPlace) -> Iterator[Record]:
        """The records of a kind that other contributors signed for a round."""
        read = decode_update_seal if kind == Kind.UPDATE_SEAL else decode_update
        for author in sorted(current.expected - {self._context.key}):
            for record in self._context.ledger.chain(author):
                if record.kind == kind and read(record.payload).place == place:
                    yield record


class _Overspending(Machine):
    contributor_type = OverspendingContributor


class _Copying(Machine):
    contributor_type = CopyingContributor


_MACHINES: Mapping[str, type[Machine]] = {"overspend": _Overspending, "copy-update": _Copying}
#: The kinds of cheats that are here.
CONTRIBUTORS = frozenset(_MACHINES)


def lying_machine(spec: CheatSpec) -> type[Machine]:
    """The machine of a cheater. It is the honest one if the cheat is not in its part in rounds."""
    return _MACHINES.get(spec.kind, Machine)
