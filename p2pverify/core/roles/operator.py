"""Orders: what the operator of this peer wants, and what its node has found or made ready."""

from p2pverify.core.events import Effects, Leave, Order, SponsorPeer, VersionHeld, WriteRecord, WrongAnswer
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.disputes.reporter import Reporter
from p2pverify.core.roles.membership import Membership
from p2pverify.core.roles.publisher import Publisher
from p2pverify.core.roles.settle.payer import Payer
from p2pverify.core.roles.versions import VersionMover
from p2pverify.core.settle.exchange import AnswerTaken


class OrderTaker:
    """Gives each order to the part of the machine that carries it out."""

    def __init__(
        self, context: Context, membership: Membership, mover: VersionMover, reporter: Reporter, payer: Payer
    ) -> None:
        self._context = context
        self._membership = membership
        self._mover = mover
        self._reporter = reporter
        self._payer = payer
        self._publisher = Publisher(context)

    def carry_out(self, order: Order, now_ms: int, *, is_awake: bool) -> Effects[None]:
        """Carry out an order. `is_awake` says whether the machine has read its own log."""
        match order:
            case Leave():
                self._context.is_leaving = True
            case SponsorPeer():
                self._membership.sponsor(order.peer)
            case WriteRecord():
                yield from self._publisher.write(order, now_ms, is_awake=is_awake)
            case WrongAnswer():
                self._reporter.take(order)
            case VersionHeld():
                self._mover.take(order)
            case AnswerTaken():
                yield from self._payer.owe(order, now_ms)
