"""What clients owe this peer for answers, beside the ledger: a tab for each client, and how much it may owe.

Each answer costs the tariff's price of an answer, whoever asks and whatever for, because a peer cannot tell an owed
question from a client's. What turns out to be owed comes off the tab when the client's audit shows it, and the rest
when a cheque covers it. Protocol page: protocol/cheque.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from p2pverify.core.encoding.canon import Value, as_array, as_uint, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.settle.cheques import SignedCheque, read_signed_cheque

#: Series of cheques end at multiples of this number of epochs, one or two of them ahead.
SERIES_EPOCHS = 1024
#: A cheque is not taken later than this number of epochs before its series ends, so that there is time to cash it.
CASH_EPOCHS = 16
#: An audit takes an answer off the tab for this number of epochs after its own.
OWED_EPOCHS = 16
TABS_KEPT = 2048
#: Of what a client's audits took off, and of its newest cheques; bounds for the reader.
SLOTS_MAX = 4096
SERIES_MAX = 4
TAB_BYTES_MAX = 65_536

#: Gives what is settled of a series of cheques (debtor, until) to this peer, by the ledger.
Settled = Callable[[bytes, int], int]


def series_end(epoch: int) -> int:
    """The last epoch of the series in which a debtor signs at an epoch. It is 1,024 to 2,047 epochs ahead."""
    return (epoch // SERIES_EPOCHS + 2) * SERIES_EPOCHS - 1


@dataclass(frozen=True, slots=True)
class CreditLimits:
    """How much clients may owe a peer, in answers at the tariff's price.

    One client may owe `limit` answers in all, of which `uncovered` without a cheque. All clients that are no members
    together may owe `strangers`. A cheque is put on the ledger when it says `cash` answers more than the ledger.
    """

    limit: int = 65_536
    uncovered: int = 4_096
    strangers: int = 1_024
    cash: int = 64


DEFAULT_CREDIT = CreditLimits()


@dataclass(frozen=True, slots=True)
class Tab:
    """What one client owes (millionths). `uncovered` is for answers that no cheque covers; below 0 it paid ahead.

    `period` is epoch // SERIES_EPOCHS of its last change. `slots` (epoch, slot) are audits that took an answer off.
    `cheques` are the newest ones of series that are not over, by their ends.
    """

    uncovered: int = 0
    period: int = 0
    slots: tuple[tuple[int, int], ...] = ()
    cheques: tuple[SignedCheque, ...] = ()

    def cheque(self, until: int) -> SignedCheque | None:
        """The newest cheque of a series."""
        return next((each for each in self.cheques if each.until == until), None)

    def turned(self, epoch: int) -> "Tab":
        """The tab at an epoch. A new period begins with nothing uncovered, and series that are over are dropped."""
        uncovered = 0 if epoch // SERIES_EPOCHS > self.period else self.uncovered
        slots = tuple(each for each in self.slots if each[0] + OWED_EPOCHS >= epoch)
        cheques = tuple(each for each in self.cheques if each.until >= epoch)
        return Tab(uncovered, max(self.period, epoch // SERIES_EPOCHS), slots, cheques)

    def audited(self, epoch: int, slot: int, price: int) -> "Tab":
        """The tab after an audit of the client shows that one of the answers was owed."""
        if (epoch, slot) in self.slots or len(self.slots) >= SLOTS_MAX:
            return self
        return replace(self, uncovered=self.uncovered - price, slots=(*self.slots, (epoch, slot)))

    def taken(self, cheque: SignedCheque) -> "Tab":
        """The tab with a cheque that is greater than the known one of its series."""
        known = self.cheque(cheque.until)
        more = cheque.cumulative - (0 if known is None else known.cumulative)
        others = [each for each in self.cheques if each.until != cheque.until]
        cheques = tuple(sorted([*others, cheque], key=lambda each: each.until))
        return replace(self, uncovered=self.uncovered - more, cheques=cheques)

    def encode(self) -> bytes:
        owed, ahead = max(0, self.uncovered), max(0, -self.uncovered)
        slots = [list(each) for each in self.slots]
        return encode([owed, ahead, self.period, slots, [each.to_value() for each in self.cheques]])


def decode_tab(data: bytes) -> Tab:
    """Read a tab from the disk. Raises DecodeError."""
    owed, ahead, period, slots, cheques = as_array(decode(data, size_max=TAB_BYTES_MAX), "tab", length=5)
    less, more = as_uint(ahead, "paid ahead"), as_uint(owed, "owed")
    if less and more:
        raise DecodeError("tab: both owed and paid ahead")
    return Tab(
        more - less,
        as_uint(period, "period"),
        tuple(map(_read_slot, as_array(slots, "slots", length_max=SLOTS_MAX))),
        tuple(map(read_signed_cheque, as_array(cheques, "cheques", length_max=SERIES_MAX))),
    )


def _read_slot(value: Value) -> tuple[int, int]:
    epoch, slot = as_array(value, "slot", length=2)
    return as_uint(epoch, "epoch"), as_uint(slot, "slot")


class ChequeRefused(Exception):
    """A cheque is not taken. `reason` is a word of protocol/cheque.md."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Credit:
    """The tabs of all clients of one peer (`key`, 32 B). `price` is that of one answer (millionths).

    `is_member` says whether a key is a member's, and `settled` what the ledger says of a series.
    """

    def __init__(
        self,
        network: bytes,
        key: bytes,
        price: int,
        limits: CreditLimits,
        *,
        is_member: Callable[[bytes], bool],
        settled: Settled,
    ) -> None:
        self._network = network
        self._key = key
        self._price = price
        self.limits = limits
        self._is_member = is_member
        self._settled = settled
        self._tabs: dict[bytes, Tab] = {}
        self._changed: set[bytes] = set()

    @property
    def tabs(self) -> Mapping[bytes, Tab]:
        return self._tabs

    def keep(self, client: bytes, tab: Tab) -> None:
        """Take a tab that was stored earlier."""
        self._tabs[client] = tab

    def changes(self) -> list[tuple[bytes, Tab | None]]:
        """The tabs that changed since the last call, and None for a dropped one. The caller stores them."""
        found = [(client, self._tabs.get(client)) for client in sorted(self._changed)]
        self._changed.clear()
        return found

    def refusal(self, client: bytes, epoch: int, waiting: int = 0) -> str | None:
        """Why a client gets no answer beside those that wait to be made, or None."""
        tab, more = self._tabs.get(client, _EMPTY), waiting * self._price
        if _uncovered(tab, epoch) + more >= self.limits.uncovered * self._price:
            return "answers without a cheque"
        if self.owed(client, epoch) + more >= self.limits.limit * self._price:
            return "unpaid cheques"
        if self._is_member(client):
            return None
        if client not in self._tabs and len(self._tabs) >= TABS_KEPT:
            return "too many clients"
        strangers = sum(max(0, self.owed(key, epoch)) for key in self._tabs if not self._is_member(key))
        return "strangers owe too much" if strangers + more >= self.limits.strangers * self._price else None

    def owed(self, client: bytes, epoch: int) -> int:
        """What a client owes in all: answers without a cheque, and cheques that are not settled (millionths)."""
        tab = self._tabs.get(client, _EMPTY)
        by_cheques = (
            each.cumulative - self._settled(client, each.until) for each in tab.cheques if each.until >= epoch
        )
        return _uncovered(tab, epoch) + sum(by_cheques)

    def uncovered(self, client: bytes, epoch: int) -> int:
        """What a client owes for answers that no cheque covers; 0 if it paid ahead (millionths)."""
        return max(0, _uncovered(self._tabs.get(client, _EMPTY), epoch))

    def gave(self, client: bytes, epoch: int) -> None:
        """A client got an answer. The changes must be on disk before the answer leaves."""
        if client not in self._tabs and len(self._tabs) >= TABS_KEPT:
            self._drop_one()
        tab = self._tabs.get(client, _EMPTY).turned(epoch)
        self._put(client, replace(tab, uncovered=tab.uncovered + self._price))

    def audited(self, client: bytes, slot: tuple[int, int], epoch: int) -> None:
        """An audit of a client shows that an answer was owed, so that the pool pays it."""
        if client in self._tabs and slot[0] + OWED_EPOCHS >= epoch:
            self._put(client, self._tabs[client].turned(epoch).audited(*slot, self._price))

    def take(self, client: bytes, cheque: SignedCheque, epoch: int) -> None:
        """Take a cheque of a client. The changes must be on disk before the client is told.

        The newest cheque again changes nothing. Raises ChequeRefused.
        """
        tab = self._tabs.get(client, _EMPTY).turned(epoch)
        known = tab.cheque(cheque.until)
        if cheque == known:
            return
        if client == self._key:
            raise ChequeRefused("own")
        if cheque.until < epoch + CASH_EPOCHS:
            raise ChequeRefused("over")
        if (cheque.until + 1) % SERIES_EPOCHS or cheque.until > series_end(epoch) + SERIES_EPOCHS:
            raise ChequeRefused("series")
        if known is not None and (cheque.cumulative <= known.cumulative or cheque.count <= known.count):
            raise ChequeRefused("known")
        if client not in self._tabs and not self._is_member(client):  # else keys that cost nothing would take room
            raise ChequeRefused("nothing owed")
        if not cheque.statement(self._network, client, self._key).is_signed(cheque.signature):
            raise ChequeRefused("signature")
        self._put(client, tab.taken(cheque))

    def forget(self, epoch: int) -> None:
        """Drop the tabs of clients that owe nothing and have no cheque that can still be cashed."""
        for key, tab in list(self._tabs.items()):
            left = tab.turned(epoch)
            if not left.uncovered and not left.cheques and not left.slots:
                self._drop(key)

    def _put(self, client: bytes, tab: Tab) -> None:
        self._tabs[client] = tab
        self._changed.add(client)

    def _drop(self, client: bytes) -> None:
        del self._tabs[client]
        self._changed.add(client)

    def _drop_one(self) -> None:
        """Make room: drop the tab without a cheque by which least is owed, of a stranger before that of a member."""
        found = [(self._is_member(key), tab.uncovered, key) for key, tab in self._tabs.items() if not tab.cheques]
        if found:
            self._drop(min(found)[2])


_EMPTY = Tab()


def _uncovered(tab: Tab, epoch: int) -> int:
    return 0 if epoch // SERIES_EPOCHS > tab.period else tab.uncovered
