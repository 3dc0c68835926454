"""The parts of one machine. They share its context, and each does one thing that a peer does."""

from collections.abc import Iterable

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.errors import LocalProtocolError
from p2pverify.core.events import Effects, Note
from p2pverify.core.limits import BoundedDict
from p2pverify.core.roles.challenger import Challenger
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.roles.cut_maker import Cutter
from p2pverify.core.roles.disputes.objector import Objector
from p2pverify.core.roles.disputes.reporter import Reporter
from p2pverify.core.roles.disputes.voter import Voter
from p2pverify.core.roles.disputes.work import DisputeWork
from p2pverify.core.roles.fork_reporter import Accuser
from p2pverify.core.roles.keys.successor import Succession
from p2pverify.core.roles.membership import Membership
from p2pverify.core.roles.operator import OrderTaker
from p2pverify.core.roles.responder import Responder
from p2pverify.core.roles.rounds.contributor import Contributor
from p2pverify.core.roles.rounds.evaluator import Evaluator
from p2pverify.core.roles.rounds.reporter import LossReporter
from p2pverify.core.roles.rounds.work import TrainingWork
from p2pverify.core.roles.rules.announcer import Announcer
from p2pverify.core.roles.settle.money import Money
from p2pverify.core.roles.versions import VersionMover
from p2pverify.core.settle.credit import CreditLimits

#: Reasons for which a part could not act, that were told.
REASONS_KEPT = 16


class Parts:
    """All parts. `in_order` has those that act by themselves, in the order in which they do.

    The types of the parts in training rounds are given, because a cheater of a testnet has its own. The other arguments
    are those of `Machine`.
    """

    def __init__(
        self,
        context: Context,
        manifest: Manifest,
        hardware: str,
        credit: CreditLimits,
        *,
        objects: bool,
        follows: bool,
        rejoin: bool,
        succession: Succession | None,
        contributor: type[Contributor],
        evaluator: type[Evaluator],
    ) -> None:
        self.money = Money(context, credit)
        self.responder = Responder(context, self.money.creditor)
        self.challenger = Challenger(context)
        work = DisputeWork(context, self.responder, self.challenger.evidence)
        self.objector = Objector(context, work, is_on=objects)
        self.voter = Voter(context, self.challenger, work)
        self.mover = VersionMover(context, follows=follows)
        self.membership = Membership(context, manifest, hardware, rejoin=rejoin, succession=succession)
        self.cutter = Cutter(context, self.objector)
        self.accuser = Accuser(context)
        self.reporter = Reporter(context)
        self.training = TrainingWork(context.params.epoch_ms)
        self.orders = OrderTaker(context, self.membership, self.mover, self.reporter, self.money.payer)
        self.in_order: tuple[Part, ...] = (
            self.membership,
            Announcer(context),
            self.mover,
            self.accuser,
            self.challenger,
            self.voter,
            self.cutter,
            self.objector,
            self.reporter,
            contributor(context, self.training),
            LossReporter(context, self.training),
            evaluator(context, self.training),
            self.money.creditor,
            self.money.payer,
        )
        self._refused: BoundedDict[str, None] = BoundedDict(REASONS_KEPT)

    def act(self, parts: Iterable[Part], now_ms: int) -> Effects[None]:
        """Let parts act. If one would sign what others refuse, the rest goes on, so that cuts still get signed.

        Each reason is told once.
        """
        for part in parts:
            try:
                yield from part.tick(now_ms)
            except LocalProtocolError as error:
                if error.reason not in self._refused:
                    yield Note("warning", f"this peer leaves a record out: {error.reason}")
                self._refused[error.reason] = None
