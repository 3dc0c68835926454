"""Reporting losses in mode 2: what the updates of a round do to the own rows, sealed and then opened.

Protocol pages: protocol/round.md, loss-seal.md, loss-report.md.
"""

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.events import Effects, Note
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.rounds.losses import (
    LossReport,
    LossSeal,
    decode_loss_report,
    decode_loss_seal,
    loss_seal,
)
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.roles.rounds.work import PLACES_KEPT, TrainingWork
from p2pverify.core.state.rounds.marks import left_out_of
from p2pverify.core.state.rounds.notes import LineRounds, OpenRound, TrainingPhase
from p2pverify.core.training.losses import LossTable
from p2pverify.core.training.orders import DrawnRows, ReportedLosses, ReportOrder, TrainingFailed


class LossReporter(Part):
    """This peer's reports, in each round of mode 2 in which it has an update."""

    def __init__(self, context: Context, work: TrainingWork) -> None:
        self._context = context
        self._work = work
        self._sealed: BoundedDict[RoundPlace, None] = BoundedDict(PLACES_KEPT)
        self._reported: BoundedDict[RoundPlace, None] = BoundedDict(PLACES_KEPT)

    def resume(self) -> None:
        for record in self._context.ledger.chain(self._context.key):
            if record.kind == Kind.LOSS_SEAL:
                self._sealed[decode_loss_seal(record.payload).place] = None
            elif record.kind == Kind.LOSS_REPORT:
                self._reported[decode_loss_report(record.payload).place] = None

    def tick(self, now_ms: int) -> Effects[None]:
        """Seal and open losses in the open rounds of the newest certified cut."""
        context, state = self._context, self._context.fold.latest
        for index in sorted(state.rounds):
            known, rule = state.rounds[index], context.network.lines[index].training
            current = known.open
            if current is None or rule is None or not context.may_write(now_ms):
                continue
            place = RoundPlace(index, current.number)
            is_sealing = current.phase is TrainingPhase.REPORTING and context.key in current.updates
            is_opening = current.phase is TrainingPhase.DISCLOSING and context.key in current.losses
            if is_sealing and place not in self._sealed and context.may_sign_of(current.opened_epoch):
                yield from self._seal(place, rule, known, current, now_ms)
            elif is_opening and place not in self._reported:
                yield from self._open(place, rule, known, current, now_ms)

    def _seal(
        self, place: RoundPlace, rule: TrainingRule, known: LineRounds, current: OpenRound, now_ms: int
    ) -> Effects[None]:
        context = self._context
        losses = yield from self._losses(place, rule, known, current, now_ms)
        if losses is None:
            return
        self._sealed[place] = None
        commit = loss_seal(context.network_id, place, context.key, losses, self._salt(place))
        yield from context.write(Kind.LOSS_SEAL, LossSeal(place, context.fold.latest.id, commit).encode(), now_ms)

    def _open(
        self, place: RoundPlace, rule: TrainingRule, known: LineRounds, current: OpenRound, now_ms: int
    ) -> Effects[None]:
        losses = yield from self._losses(place, rule, known, current, now_ms)
        if losses is None:
            return
        self._reported[place] = None
        report = LossReport(place, self._context.fold.latest.id, losses, self._salt(place))
        yield from self._context.write(Kind.LOSS_REPORT, report.encode(), now_ms)

    def _losses(
        self, place: RoundPlace, rule: TrainingRule, known: LineRounds, current: OpenRound, now_ms: int
    ) -> Effects[LossTable | None]:
        """This peer's losses in a round: the same again after a restart. None while they are not computed."""
        key = self._context.key
        own, updates = current.updates[key], sorted(current.updates.items())
        order = ReportOrder(
            place.line,
            place.number,
            rule,
            current.manifest,
            current.seals[key].dataset,
            DrawnRows(own.root, own.rows, own.seed, own.held, own.position, rule.held_rows, own.erased),
            tuple((author, opened.trained.update) for author, opened in updates),
            left_out_of(known, current),
        )
        done = yield from self._work.start(order, now_ms)
        if isinstance(done, TrainingFailed):
            yield Note("warning", f"round {place.number} of line {place.line}: {done.reason}")
        return done.losses if isinstance(done, ReportedLosses) else None

    def _salt(self, place: RoundPlace) -> bytes:
        return self._context.secret("losses", *place.to_value())
