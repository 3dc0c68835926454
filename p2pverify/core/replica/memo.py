"""A cache that many machines of one process share, for results that are the same on every machine.

A judgement is a function of a record's bytes and of the epoch; a state is a function of its cut's id. A simulated world
has a thousand machines that would all compute the same, so it gives one `Memo` to all of them. A real peer has none;
its results are the same without it.
"""

from p2pverify.core.errors import GossipIgnore, GossipReject
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.judge import RecordClaim, judge_content, not_ahead, peek, read_record
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.replica.logs.shelf import SharedShelf
from p2pverify.core.state.state import State

JUDGED_MAX = 262_144
STATES_MAX = 512
PROVISIONAL_MAX = 4

Refused = GossipIgnore | GossipReject
Provisional = tuple[bytes, int, tuple[Head, ...]]  # the newest cut, the epoch, and the heads held beyond that cut


class Memo:
    """The cache of one network. It is bounded: the oldest results are dropped first, and computed again on demand."""

    def __init__(self) -> None:
        #: The records of all ledgers.
        self.shelf = SharedShelf()
        self._network_id: bytes | None = None
        self._judged: BoundedDict[bytes, tuple[Record | None, Refused | None, RecordClaim | None]] = BoundedDict(
            JUDGED_MAX
        )
        self._states: BoundedDict[bytes, tuple[State | None, str | None]] = BoundedDict(STATES_MAX)
        self._provisional: BoundedDict[Provisional, State] = BoundedDict(PROVISIONAL_MAX)

    def peek(self, data: bytes) -> RecordClaim | None:
        """As `judge.peek`, remembered of what was judged."""
        known = self._judged.get(data)
        return peek(data) if known is None else known[2]

    def judge(self, data: bytes, rules: Rules, claim: RecordClaim | None = None) -> Record:
        """As `judge.judge`, remembered. Raises GossipIgnore or GossipReject with the reason."""
        known = self._judged.get(data)
        record, refused = self._judge(data, rules, claim) if known is None else known[:2]
        if record is not None:
            not_ahead(record, rules)
        if refused is not None:
            raise type(refused)(refused.reason)
        assert record is not None
        return record

    def _judge(self, data: bytes, rules: Rules, claim: RecordClaim | None) -> tuple[Record | None, Refused | None]:
        """A record that was read and what refuses it, the clock aside."""
        if self._network_id is None:
            self._network_id = rules.network_id
        assert self._network_id == rules.network_id, "a memo is of one network"
        record, refused = None, None
        try:
            record = read_record(data, rules, claim)
            judge_content(record, rules)
        except (GossipIgnore, GossipReject) as found:
            refused = type(found)(found.reason)
        self._judged[data] = record, refused, peek(data) if claim is None else claim
        return record, refused

    def state(self, cut_id: bytes) -> tuple[State | None, str | None] | None:
        """The state at a cut, or why it does not hold; None if no machine has computed it. It never changes."""
        return self._states.get(cut_id)

    def keep_state(self, cut_id: bytes, state: State | None, fault: str | None) -> None:
        self._states[cut_id] = state, fault

    def provisional(self, what: Provisional) -> State | None:
        """The provisional state of some heads, if another machine has computed it."""
        return self._provisional.get(what)

    def keep_provisional(self, what: Provisional, state: State) -> None:
        self._provisional[what] = state
