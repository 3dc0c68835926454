"""Both sides of a peer's money: what it is owed for answers, and what it owes."""

from collections.abc import Iterable

from p2pverify.core.records.envelope import Record
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.settle.creditor import Creditor
from p2pverify.core.roles.settle.payer import Payer
from p2pverify.core.settle.credit import CreditLimits
from p2pverify.core.settle.exchange import StoredCredit


class Money:
    """The creditor and the payer of one peer."""

    def __init__(self, context: Context, limits: CreditLimits) -> None:
        self.creditor = Creditor(context, limits)
        self.payer = Payer(context)

    def load(self, stored: Iterable[StoredCredit]) -> None:
        """Take what was stored earlier."""
        for each in stored:
            (self.creditor if each.side == "tab" else self.payer).load(each)

    def see(self, record: Record, now_ms: int) -> None:
        """Read an accepted record."""
        self.creditor.see(record, now_ms)

    def statistics(self) -> dict[str, int]:
        return {**self.creditor.statistics(), **self.payer.statistics()}
