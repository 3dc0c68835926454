"""Amendments and approvals in the fold.

| an amendment | when |
|---|---|
| opens | a cut holds its record; its author has weight, and it changes the rules in force |
| is approved | two thirds of all weight want it, founders do not object, and two thirds can run it |
| takes effect | with the first cut of the epoch `starts` or later, before anything else of that cut |
| is off | the approval falls below, by withdrawal or by changed weights: then it is open again |
| closes | it expires, its author withdraws it alone, another one takes effect, or a better one takes its place |
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.rules.amend import AmendmentRefused, RuleSet, amend, feature_numbers
from p2pverify.core.contract.rules.changes import UnknownChange
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.amendment import Amendment, Word, decode_amendment, decode_approval
from p2pverify.core.state.memory import memory_cuts
from p2pverify.core.state.rules.notes import OpenAmendment, RulesInForce, in_force, newest, rules_of
from p2pverify.core.state.state import RowDigests, State
from p2pverify.core.state.transition import Transition, reach_of

OPEN_AMENDMENTS_MAX = 4
#: If so many are open, one with fewer approvals than the others yields its place, but not in its first day.
PLACE_EPOCHS = 1440
#: The founders' veto ends two years after genesis.
VETO_MS = 2 * 365 * 86_400_000
#: Members of a retired class become inactive after this many times the memory of a state.
RETIRED_MEMORIES = 4


# ---------------------------------------------------------------- step 0 of a cut


def due(state: State, epoch: int) -> list[tuple[bytes, OpenAmendment]]:
    """The amendments whose time has come with a cut of this epoch on a state, in the order in which they are tried."""
    found = [(note.starts, key, note) for key, note in state.amendments.items() if 0 <= note.starts <= epoch]
    return [(key, note) for _, key, note in sorted(found, key=lambda each: each[:2])]


def unreadable(amendment: Amendment, known: int) -> str | None:
    """Why a program with these `known` features cannot run the rules that an amendment makes, or None."""
    lacking = feature_numbers(amendment.features & ~known)
    if lacking:
        return f"needs feature {lacking[0]}"
    unknown = next((change for change in amendment.changes if isinstance(change, UnknownChange)), None)
    return None if unknown is None else f"needs a program that knows the change {unknown.value[0]!r}"


def activate(state: State, base: State, network: Network, epoch: int) -> Network:
    """Put an amendment into force whose time has come. The others named the rules before it, so they close.

    Returns the network with the rules of the cut.
    """
    for key, note in due(base, epoch):
        amendment = note.amendment
        try:
            found = amend(rules_of(network, base.rules), amendment.changes, amendment.features, epoch)
        except AmendmentRefused:
            state.count("amendments that did not hold")
            state.amendments = {each: one for each, one in state.amendments.items() if each != key}
            continue
        number = next(iter(base.rules), 0) + 1
        definition = replace(found.network, first=None).encode()
        counted = max(1, base.epoch - reach_of(in_force(network, base.rules), base).duty_reach)
        state.rules = {number: RulesInForce(key, epoch, counted, definition, found.retired, found.features)}
        state.amendments = {}
        state.row_digests = RowDigests()  # they were made under other rules
        state.count("amendments in force")
        break
    return state.rules_in(network)


# ---------------------------------------------------------------- records


def take_amendment(step: Transition, record: Record) -> None:
    """Open an amendment. Its author approves it."""
    state = step.state
    amendment = decode_amendment(record.payload)
    refused = refuse_amendment(step.network, state, record.author, amendment)
    if refused is not None:
        state.count(f"amendment: {refused}")
        return
    gone = _yielding(state)
    kept = {key: note for key, note in state.amendments.items() if key != gone}
    opened = OpenAmendment(record.author, record.payload, state.epoch, frozenset((record.author,)))
    state.amendments = {**kept, record.id: opened}
    state.count("amendments")


def refuse_amendment(network: Network, state: State, author: bytes, amendment: Amendment) -> str | None:
    """Why an amendment does not open, or None.

    One with features may have changes that only later programs can read, so its changes are judged when it takes
    effect. Until then nobody who knows them says that it is ready, if they do not hold.
    """
    member = state.members.get(author)
    if member is None or not member.weight or member.is_convicted:
        return "author has no weight"
    rules = rules_of(network, state.rules)
    if amendment.rules != rules.root:
        return "it is about other rules"
    if amendment.expiry <= state.epoch:
        return "it has expired"
    if any(note.author == author for note in state.amendments.values()):
        return "author has an open one"
    if not amendment.features and why_not(rules, amendment, state.epoch) is not None:
        return "its changes are not allowed"
    if len(state.amendments) >= OPEN_AMENDMENTS_MAX and _yielding(state) is None:
        return "too many are open"
    return None


def why_not(rules: RuleSet, amendment: Amendment, epoch: int) -> str | None:
    """Why the changes of an amendment are not allowed under the rules, or None."""
    try:
        amend(rules, amendment.changes, amendment.features, epoch)
    except AmendmentRefused as refused:
        return refused.reason
    return None


def _yielding(state: State) -> bytes | None:
    """The amendment that gives its place to another one: of the old ones, that with the fewest approvals."""
    if len(state.amendments) < OPEN_AMENDMENTS_MAX:
        return None
    old = [
        (len(note.approved_by), note.opened_epoch, key)
        for key, note in state.amendments.items()
        if not note.is_scheduled and state.epoch >= note.opened_epoch + PLACE_EPOCHS
    ]
    return min(old)[2] if old else None


def take_approval(step: Transition, record: Record) -> None:
    """Note a word about an open amendment."""
    state = step.state
    approval = decode_approval(record.payload)
    refused = refuse_approval(state, record.author, approval.amendment)
    if refused is not None:
        state.count(f"approval: {refused}")
        return
    note, author = state.amendments[approval.amendment], frozenset((record.author,))
    match approval.word:
        case Word.YES:
            note = replace(note, approved_by=note.approved_by | author)
        case Word.NO:
            note = replace(note, approved_by=note.approved_by - author)
        case Word.READY:
            note = replace(note, ready=note.ready | author)
    state.amendments = {**state.amendments, approval.amendment: note}


def refuse_approval(state: State, author: bytes, amendment: bytes) -> str | None:
    """Why a word about an amendment does not count, or None."""
    member = state.members.get(author)
    if member is None or not member.weight or member.is_convicted:
        return "author has no weight"
    return None if amendment in state.amendments else "no such amendment is open"


# ---------------------------------------------------------------- the end of a step


def consider(step: Transition) -> None:
    """Approve amendments, take their approval back, and close those that are over."""
    state = step.state
    if state.amendments:
        weights = {peer: m.weight for peer, m in state.members.items() if m.weight and not m.is_convicted}
        kept = {key: _considered(step, note, weights) for key, note in sorted(state.amendments.items())}
        state.amendments = {key: note for key, note in kept.items() if not _is_over(note, state.epoch)}
    rules = newest(state.rules)
    if rules is not None and rules.retired:
        _empty_retired(step, rules)


def _considered(step: Transition, note: OpenAmendment, weights: Mapping[bytes, int]) -> OpenAmendment:
    """An amendment after a step. Only words of members with weight count."""
    state, amendment = step.state, note.amendment
    voters = frozenset(weights)
    note = replace(note, approved_by=note.approved_by & voters, ready=note.ready & voters)
    if not is_approved(step.network, state, note):
        return replace(note, starts=-1)
    if note.is_scheduled:
        return note
    return replace(note, starts=max(amendment.activation, state.epoch + step.network.params.notice_epochs))


def is_approved(network: Network, state: State, note: OpenAmendment) -> bool:
    """Whether an amendment has the weight that it needs: see `shares`."""
    return all(has >= needs for _, has, needs in shares(network, state, note))


def shares(network: Network, state: State, note: OpenAmendment) -> list[tuple[str, int, int]]:
    """For each condition of an approval: its name, the weight that an amendment has, and the weight that it needs.

    Founders have a veto, which falls in two years from half of the weight of the active founders to nothing. Features
    need two thirds of the weight that can run them, so that the network does not stop.
    """
    total = sum(member.weight for member in state.members.values())
    two_thirds = -(-2 * total // 3)
    founders = [peer for peer, member in state.members.items() if member.founder and member.active and member.weight]
    veto = -(-VETO_MS // network.params.epoch_ms)
    left = max(0, veto - state.epoch)
    found = [
        ("weight", state.weight_of(note.approved_by), two_thirds),
        ("founders", len(note.approved_by.intersection(founders)), -(-len(founders) * left // (2 * veto))),
    ]
    if note.amendment.features:
        found.append(("ready", state.weight_of(note.ready), two_thirds))
    return found


def _is_over(note: OpenAmendment, epoch: int) -> bool:
    is_withdrawn = not note.approved_by
    return is_withdrawn or (epoch > note.amendment.expiry and not note.is_scheduled)


def _empty_retired(step: Transition, rules: RulesInForce) -> None:
    """Members of a class that was retired long ago become inactive, as if they had left."""
    state = step.state
    wait = RETIRED_MEMORIES * memory_cuts(step.network.params)
    over = {index for index, epoch in rules.retired.items() if state.epoch >= epoch + wait}
    for peer, member in state.members.items() if over else ():
        if member.active and member.class_index in over:
            state.change(peer, active=False)


def take(step: Transition, by_kind: Mapping[int, Sequence[Record]]) -> None:
    """Take the records of a step. Those of a kind are sorted by author and number."""
    for record in by_kind.get(Kind.AMENDMENT, ()):
        take_amendment(step, record)
    for record in by_kind.get(Kind.APPROVAL, ()):
        take_approval(step, record)
    consider(step)


def refuse_class(network: Network, state: State, class_index: int) -> str | None:
    """Why no peer can join a class, or None."""
    rules = newest(state.rules)
    if class_index >= len(network.classes):
        return "no such class"
    return None if rules is None or class_index not in rules.retired else "class is retired"
