"""A decided round that is run again from its blobs, by the records of a verified ledger.

The ledger says which updates and rows the members voted on, and the trainer computes the result from them. So nothing
is believed but the records, and bytes with the SHA-256 that they name.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.records.payloads.rounds.votes import decode_round_vote
from p2pverify.core.replica.fold import Fold
from p2pverify.core.roles.rounds.evaluator import evaluate_order
from p2pverify.core.state.lines.versions import notes_of
from p2pverify.core.state.rounds.notes import ClosedRound, OpenRound
from p2pverify.core.state.rounds.take import open_round
from p2pverify.core.state.state import State
from p2pverify.core.training.orders import EvaluateOrder
from p2pverify.core.training.result import ResultRow, RoundResult, unseen_in
from p2pverify.node.training.ports import Trainer
from p2pverify.node.training.versions import RoundBase, voted_results
from p2pverify.node.user_error import UserError


class RoundAuditError(UserError):
    """A round cannot be run again here: `reason` says why, `hint` says what to do."""


@dataclass(frozen=True, slots=True)
class DecidedOrder:
    """A decided round of a ledger: what voters were asked to compute, and what more than two thirds of them found."""

    order: EvaluateOrder
    decided: RoundResult
    agreed: int
    voters: int


@dataclass(frozen=True, slots=True)
class RoundAudit:
    """A round that was run again. `differences` are what the decided result has otherwise, in words; none if it is
    right."""

    round: DecidedOrder
    found: RoundResult
    differences: tuple[str, ...]


def find_round(fold: Fold, cut: bytes, place: RoundPlace) -> DecidedOrder:
    """A decided round that a certified cut of a fold holds. Raises RoundAuditError."""
    state = fold.state(cut)
    assert state is not None  # the ledger was verified
    rule = fold.network.lines[place.line].training
    assert rule is not None
    before, over = _last_open(fold, state, place)
    if over is None or before is None or not over.voters[0]:
        hint = "'p2pverify train rounds' shows the decided ones"
        raise RoundAuditError(f"the ledger has no decided round {place.number} of this line", hint)
    known = before.rounds[place.line]
    current = open_round(before, place)
    assert current is not None
    assert current.vote is not None  # it was decided with the next cut
    closing = before.at_index(current.vote.opened_index)
    assert closing is not None  # a round is over long before its cuts are forgotten
    order = evaluate_order(place, rule, known, current, closing)
    return DecidedOrder(order, _decided(fold, place, current), *over.voters)


def _last_open(fold: Fold, state: State, place: RoundPlace) -> tuple[State | None, ClosedRound | None]:
    """The last state on the path in which a round is open, and how the round ended in the next one."""
    before: State | None = None
    for cut in state.path[1:]:
        after = fold.state(cut)
        assert after is not None  # it is on the path of a verified cut
        closed = after.rounds[place.line].closed if place.line in after.rounds else ()
        over = next((each for each in closed if each.number == place.number), None)
        if over is not None:
            return before, over
        before = after
    return before, None


def _decided(fold: Fold, place: RoundPlace, current: OpenRound) -> RoundResult:
    """The result that most voters opened: more than two thirds of them, so there is one."""
    assert current.vote is not None
    results: dict[bytes, RoundResult] = {}
    voters: dict[bytes, set[bytes]] = {}
    for voter in sorted(current.vote.commits):
        for record in fold.ledger.chain(voter):
            if record.kind == Kind.ROUND_VOTE and decode_round_vote(record.payload).place == place:
                result = decode_round_vote(record.payload).result
                results[result.digest] = result
                voters.setdefault(result.digest, set()).add(voter)
    counted = Counter({digest: len(each) for digest, each in voters.items()})
    return results[counted.most_common(1)[0][0]]


def result_of(fold: Fold, cut: bytes, line: int, manifest: bytes) -> RoundResult | None:
    """The decided result that made the version with this manifest (digest), by a certified cut of a fold.

    None if no round made it, or the state of the cut has forgotten it.
    """
    state = fold.state(cut)
    assert state is not None  # the ledger was verified
    versions = notes_of(fold.network, state, line).versions
    wanted = {version.statement for version in versions if version.is_trained and version.manifest == manifest}
    return next(iter(voted_results(fold.ledger, state.members, wanted).values()), None)


def audit_round(
    found: DecidedOrder, trainer: Trainer, base: RoundBase, read: Callable[[bytes], bytes | None]
) -> RoundAudit:
    """Run a round again. `read` gives a blob by its SHA-256, None if it is not here. Blocks. Raises RoundAuditError.

    What the decision calls unseen is left out here, too: that others could not get it cannot be computed.
    """
    unseen, blobs, lacking = unseen_in(found.decided), dict[bytes, bytes](), []
    for update in found.order.updates:
        if update.author in unseen:
            continue
        for name, digest in (("update", update.update), ("shown rows", update.shown)):
            data = read(digest)
            if data is None:
                lacking.append(f"the {name} of {peer_id(update.author)}")
            else:
                blobs[digest] = data
    if lacking:
        hint = "blobs stay for some cuts after their round, and shown rows until one of their data set is erased"
        raise RoundAuditError(f"this machine does not have {', '.join(lacking)}", hint)
    made = trainer.evaluate(found.order, base.weights, base.manifest, blobs).result
    return RoundAudit(found, made, tuple(_differences(found.decided, made)))


def _differences(decided: RoundResult, found: RoundResult) -> Iterator[str]:
    """What a decided result has otherwise than the one that was found."""
    rows = {row.author: row for row in found.rows}
    for row in decided.rows:
        own = rows[row.author]
        if row != own:
            yield f"{peer_id(row.author)}: decided {_row(row)}, found {_row(own)}"
    for name in ("gain", "weights", "manifest"):
        one, two = getattr(decided, name), getattr(found, name)
        if one != two:
            shown = (each.hex() if isinstance(each, bytes) else each for each in (one, two))
            yield "{}: decided {}, found {}".format(name, *shown)


def _row(row: ResultRow) -> str:
    marked = ", marked" if row.is_marked else ""
    return f"{row.finding.name.lower()} with a credit of {row.credit}{marked}"
