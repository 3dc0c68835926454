"""What a certified cut says of the changes in a network that lasts, and what homes hold of it."""

from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.contract.network import Network
from p2pverify.core.records.envelope import Kind, Record, decode_record
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.state.rules.notes import newest
from p2pverify.core.state.score import availability_ppm
from p2pverify.core.state.state import State
from p2pverify.core.state.weights import weighted_peers
from p2pverify.store.errors import translated
from p2pverify.store.reading import reading, stored_rows
from p2pverify.testnet.plan import Plan

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class LastingFacts:
    """The state at one cut, of `epoch` and with `index` cuts before it on its path; epoch -1 before the first cut.

    - `is_proposed`: whether an amendment is open.
    - `rule`, `rule_from`: the value of the amended rule, and the epoch from which it holds, None before.
    - `handovers`, `weight`: of the row of the rotating peer: how often it has moved, and its weight under its new key.
    - `audits`, `availability`: of the peer behind relays.
    - `members`: the names of all members.
    """

    epoch: int = -1
    index: int = 0
    is_proposed: bool = False
    rule: int | None = None
    rule_from: int | None = None
    handovers: int = 0
    weight: int = 0
    audits: int = 0
    availability: float | None = None
    members: frozenset[str] = frozenset()


def facts_of(plan: Plan, network: Network, state: State) -> LastingFacts:
    """The facts in a state of the network. `network` has the rules with which it began."""
    assert plan.roles is not None
    assert plan.lasting is not None
    if state.index == 0:
        return LastingFacts()
    held, weighted = newest(state.rules), frozenset(weighted_peers(state))
    rotating, hidden = plan.peer(plan.roles.rotating), plan.peer(plan.roles.hidden)
    moved = state.members.get(rotating.keys[-1])
    row = state.members.get(hidden.key)
    available = None if row is None else availability_ppm(row, weighted)
    return LastingFacts(
        epoch=state.epoch,
        index=state.index,
        is_proposed=bool(state.amendments),
        rule=getattr(state.rules_in(network).params, plan.lasting.rule),
        rule_from=None if held is None else held.since,
        handovers=0 if moved is None else moved.handovers,
        weight=0 if moved is None else moved.weight,
        audits=0 if row is None else row.audits,
        availability=None if available is None else available / _MILLION,
        members=frozenset(peer.name for peer in plan.peers if any(key in state.members for key in peer.keys)),
    )


def stored_records(database: Path) -> int:
    """How many records a home holds. Blocks. Raises StoreError."""
    with translated(database), reading(database) as connection:
        return sum(1 for _ in stored_rows(connection))


def named_root(database: Path, cut: str) -> str | None:
    """The root of the state (hex) that a cut names, by its record in a home; None if the home lacks the record.

    Blocks. Raises StoreError, and DecodeError for a damaged record.
    """
    with translated(database), reading(database) as connection:
        found = next((row.data for row in stored_rows(connection) if row.id == bytes.fromhex(cut)), None)
    if found is None:
        return None
    record: Record = decode_record(found)
    return decode_cut(record.payload).state_root.hex() if record.kind == Kind.CUT else None
