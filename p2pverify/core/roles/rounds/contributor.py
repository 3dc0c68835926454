"""Contributing to training rounds: train on the own rows, seal the update, and open it when nobody can seal any more.

Protocol pages: protocol/round.md, update-seal.md, update.md.
"""

from p2pverify.core.contract.history.training import DP, TrainingRule
from p2pverify.core.events import Effects, Note
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.records.payloads.rounds.seal import Trained, UpdateSeal, decode_update_seal, update_seal
from p2pverify.core.records.payloads.rounds.update import Update, decode_update
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.roles.rounds.work import PLACES_KEPT, TrainingWork
from p2pverify.core.state.history.notes import LiveDataset
from p2pverify.core.state.rounds.notes import OpenRound, PastUse, TrainingPhase
from p2pverify.core.state.rounds.take import open_round, refuse_data
from p2pverify.core.state.state import State
from p2pverify.core.training.draws import batch_seed
from p2pverify.core.training.orders import DrawnRows, TrainedUpdate, TrainingFailed, TrainingOutcome, TrainOrder

#: The purpose of the secret that is the seed of the noise in a round; its parts are those of the round's place.
NOISE_PURPOSE = "noise"


class Contributor(Part):
    """This peer's updates, in each line in which it is expected and its operator has rows for."""

    def __init__(self, context: Context, work: TrainingWork) -> None:
        self._context = context
        self._work = work
        self._sealed: BoundedDict[RoundPlace, bytes] = BoundedDict(PLACES_KEPT)  # -> the data set of the seal
        self._opened: BoundedDict[RoundPlace, None] = BoundedDict(PLACES_KEPT)

    def resume(self) -> None:
        for record in self._context.ledger.chain(self._context.key):
            if record.kind == Kind.UPDATE_SEAL:
                seal = decode_update_seal(record.payload)
                self._sealed[seal.place] = seal.dataset
            elif record.kind == Kind.UPDATE:
                self._opened[decode_update(record.payload).place] = None

    def tick(self, now_ms: int) -> Effects[None]:
        """Train, seal and open in the open rounds of the newest certified cut."""
        context, state = self._context, self._context.fold.latest
        for index in sorted(state.rounds):
            current, rule = state.rounds[index].open, context.network.lines[index].training
            if current is None or rule is None or not self._takes_part(current) or not context.may_write(now_ms):
                continue
            place = RoundPlace(index, current.number)
            if current.phase is TrainingPhase.SEALING and place not in self._sealed:
                yield from self._seal(place, rule, current, state, now_ms)
            elif current.phase is TrainingPhase.OPENING and context.key in current.seals:
                yield from self._open(place, rule, current, state, now_ms)
        self._forget(state)

    def _takes_part(self, current: OpenRound) -> bool:
        return self._context.key in current.expected

    def _seal(
        self, place: RoundPlace, rule: TrainingRule, current: OpenRound, state: State, now_ms: int
    ) -> Effects[None]:
        context = self._context
        dataset = self._dataset(rule, current, state)
        if dataset is None or not context.may_sign_of(current.opened_epoch):
            return
        trained = yield from self._train(place, rule, current, state, dataset, now_ms)
        if trained is None:
            return
        self._sealed[place] = dataset
        hidden = Trained(trained.update, trained.steps, trained.rows)
        salted = (hidden, self._salt(place))
        commit = update_seal(context.network_id, context.key, place, current.manifest, dataset, *salted)
        seal = UpdateSeal(place, current.manifest, dataset, state.id, commit)
        yield from context.write(Kind.UPDATE_SEAL, seal.encode(), now_ms)

    def _open(
        self, place: RoundPlace, rule: TrainingRule, current: OpenRound, state: State, now_ms: int
    ) -> Effects[None]:
        dataset = current.seals[self._context.key].dataset
        if place in self._opened or dataset not in state.datasets:
            return
        trained = yield from self._train(place, rule, current, state, dataset, now_ms)
        if trained is None:
            return
        self._opened[place] = None
        hidden = Trained(trained.update, trained.steps, trained.rows)
        update = Update(place, state.id, hidden, trained.shown, trained.shown_bytes, self._salt(place))
        yield from self._context.write(Kind.UPDATE, update.encode(), now_ms)

    def _train(
        self, place: RoundPlace, rule: TrainingRule, current: OpenRound, state: State, dataset: bytes, now_ms: int
    ) -> Effects[TrainedUpdate | None]:
        """This peer's training of a round: the same again after a restart. None while it is not done."""
        again = None if current.repeats is None else current.repeats.uses[self._context.key]
        drawn = drawn_rows(rule, state.datasets[dataset], again)
        if drawn is None:
            return None
        seed = batch_seed(current.beacon, place.line, current.seed_number, self._context.key)
        if rule.trainer == DP:  # also in a repetition: equal noise twice would give away the erased rows
            seed = self._context.secret(NOISE_PURPOSE, *place.to_value())
        order = TrainOrder(place.line, place.number, rule, current.manifest, dataset, drawn, seed)
        done: TrainingOutcome | None = yield from self._work.start(order, now_ms)
        if isinstance(done, TrainingFailed):
            yield Note("warning", f"round {place.number} of line {place.line}: {done.reason}")
        return done if isinstance(done, TrainedUpdate) else None

    def _dataset(self, rule: TrainingRule, current: OpenRound, state: State) -> bytes | None:
        """The own data set for a round: of those that fit, the one that was offered first.

        A repetition takes the one of the round that it repeats.
        """
        if current.repeats is not None:
            known = current.repeats.uses[self._context.key].dataset
            offered = state.datasets.get(known)
            return None if offered is None or refuse_data(rule, offered, is_again=True) is not None else known
        own = [
            (offered.index, key)
            for key, offered in state.datasets.items()
            if offered.author == self._context.key
            and offered.index <= current.opened_index
            and refuse_data(rule, offered) is None
        ]
        return min(own)[1] if own else None

    def _salt(self, place: RoundPlace) -> bytes:
        return self._context.secret("update", *place.to_value())

    def next_wake_ms(self, now_ms: int) -> int | None:
        return self._work.next_wake_ms(now_ms)

    def _forget(self, state: State) -> None:
        self._work.forget(lambda order: open_round(state, RoundPlace(order.line, order.number)) is not None)


def drawn_rows(rule: TrainingRule, offered: LiveDataset, again: PastUse | None = None) -> DrawnRows | None:
    """The rows that the next round of a rule draws from a data set, or that a repeated round (`again`) drew.

    None if it is not offered for rounds.
    """
    use = offered.training
    if use is None:
        return None
    position = use.shown if again is None else again.position
    return DrawnRows(offered.root, offered.size, use.seed, use.terms.held, position, rule.held_rows, offered.erased)
