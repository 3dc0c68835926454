"""What many machines of one process may share: results that are the same for whoever works them out.

A judgement is a function of a record's bytes and of the epoch, a state one of its cut's id. A simulated world has a
thousand machines that would all find the same: it hands one `Memo` to all of them. A lone peer has none, and its
results are the same without.
"""

from p2pverify.core.errors import GossipIgnore, GossipReject
from p2pverify.core.records.cut import Head
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.judge import judge_content, not_ahead, read_record
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.state.state import State

JUDGED_MAX = 262_144
STATES_MAX = 512
PROVISIONAL_MAX = 4

Refused = GossipIgnore | GossipReject
Provisional = tuple[bytes, int, tuple[Head, ...]]  # the newest cut, the epoch, and what is held beyond that cut


class Memo:
    """The memo of one network. Bounded: the oldest results are forgotten first, and found again when asked for."""

    def __init__(self) -> None:
        #: Where a record id is found in any of the ledgers.
        self.records: dict[bytes, Record] = {}
        self._network_id: bytes | None = None
        self._judged: dict[bytes, tuple[Record | None, Refused | None]] = {}
        self._states: dict[bytes, tuple[State | None, str | None]] = {}
        self._provisional: dict[Provisional, State] = {}

    def judge(self, data: bytes, rules: Rules) -> Record:
        """As `rules.judge`, remembered. Raises GossipIgnore or GossipReject with the reason."""
        known = self._judged.get(data)
        if known is None:
            known = self._judge(data, rules)
        record, refused = known
        if record is not None:
            not_ahead(record, rules)
        if refused is not None:
            raise type(refused)(refused.reason)
        assert record is not None
        return record

    def _judge(self, data: bytes, rules: Rules) -> tuple[Record | None, Refused | None]:
        """A record that was read and what refuses it, the clock aside."""
        if self._network_id is None:
            self._network_id = rules.network_id
        assert self._network_id == rules.network_id, "a memo is of one network"
        record, refused = None, None
        try:
            record = read_record(data, rules)
            judge_content(record, rules)
        except (GossipIgnore, GossipReject) as found:
            refused = type(found)(found.reason)
        if len(self._judged) >= JUDGED_MAX:
            del self._judged[next(iter(self._judged))]
        self._judged[data] = record, refused
        return record, refused

    def state(self, cut_id: bytes) -> tuple[State | None, str | None] | None:
        """The state at a cut or why it does not hold, if another machine has found that; it never changes again."""
        return self._states.get(cut_id)

    def keep_state(self, cut_id: bytes, state: State | None, fault: str | None) -> None:
        if len(self._states) >= STATES_MAX:
            del self._states[next(iter(self._states))]
        self._states[cut_id] = state, fault

    def provisional(self, what: Provisional) -> State | None:
        """The provisional state of some heads, if another machine has worked it out."""
        return self._provisional.get(what)

    def keep_provisional(self, what: Provisional, state: State) -> None:
        if len(self._provisional) >= PROVISIONAL_MAX:
            del self._provisional[next(iter(self._provisional))]
        self._provisional[what] = state
