"""What a state remembers: a bound for each part that strangers can fill, and when old entries are forgotten.

Protocol page: protocol/view.md, "Bounds of the state".
"""

from collections import Counter
from collections.abc import Collection, Mapping

from p2pverify.core.contract.network import Params
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.state.past.notes import CutIds
from p2pverify.core.state.state import Contact, State
from p2pverify.core.state.verdicts.notes import AuditNote

#: A state remembers cuts, signatures and marks for at most this many cuts. Every deadline of the contract is shorter.
MEMORY_CUTS_MAX = 320
#: A path has at least this many cuts, and the head of a dropped author is kept for as many more.
NEAR_CUTS = 64
#: How many of the newest cuts of the path can be the base of a cut beside it that the next cut takes in.
NEAR_CARRY = 4
#: Ids of one author's records in one cut that a state remembers.
RECENT_IDS_MAX = 256
#: Proposals of one author that are remembered although they are not on the path and less than a third signed them.
PROPOSALS_MAX = 2
#: Signatures of one signer that are remembered although their cut is not.
UNKNOWN_SIGNED_MAX = 8
#: Challengers of one peer whose requests are counted; a further one takes the place of the one that asked longest ago.
CONTACTS_MAX = 64
#: Challengers that a score names as its auditors.
AUDITORS_MAX = 64
#: Epochs of one author whose audits wait for their duty. An honest duty comes one epoch after its audits.
WAITING_EPOCHS_MAX = 4
#: Credits of one peer: more than a third of WEIGHTED_MAX is never needed.
CREDITS_MAX = 171
#: Numbers at which a log is known to fork: the lowest ones. A fork at a higher number counts no more.
FORKS_MAX = 16
#: Lost disputes on which the value of a test rests; the oldest are forgotten first.
LOSSES_MAX = 16
#: Answers on which the capital of a pooled test rests; the oldest are forgotten first.
FAR_MAX = 32
#: Keys that have not joined, of which equivocations are remembered; the oldest are forgotten first.
EARLY_CONFLICTS_MAX = 1024


def memory_cuts(params: Params) -> int:
    """For how many cuts a state remembers cuts, their signatures, and early conflicts."""
    return min(MEMORY_CUTS_MAX, params.dispute_epochs + params.duty_reach + params.anchor_window + 16)


def has_recent_weight(state: State, peer: bytes, params: Params) -> bool:
    """Whether a peer has weight, or had it within the memory of the state.

    Only such a peer's proposals and signatures matter: a cut needs the weight of its base, and the base is remembered.
    """
    member = state.members.get(peer)
    oldest = max(0, state.index - memory_cuts(params))
    if member is None:
        return peer in state.moved and state.moved[peer].weighted_index >= oldest
    return member.weight > 0 or member.lost_weight_index >= oldest


def refuse_audit(audit: Audit, params: Params) -> str | None:
    """Why an audit cannot be of any owed slot, or None. Other audits wait for their duty, so their size is bounded."""
    if audit.slot >= params.slots_max * params.period_max:
        return "slot not owed"
    return "asked others than the drawn targets" if len(audit.asked) > params.panel_size else None


def with_auditor(auditors: frozenset[bytes], challenger: bytes) -> frozenset[bytes]:
    """The auditors of a score with one more."""
    return auditors if challenger in auditors or len(auditors) >= AUDITORS_MAX else auditors | {challenger}


def with_contact(contacts: Mapping[bytes, Contact], challenger: bytes, contact: Contact) -> dict[bytes, Contact]:
    """The contacts of a peer with a new or changed one."""
    found = {**contacts, challenger: contact}
    if len(found) > CONTACTS_MAX:
        del found[min(found, key=lambda other: (found[other].since, other))]
    return found


def with_credit(state: State, known: frozenset[bytes], challenger: bytes) -> frozenset[bytes]:
    """The credits of a peer with one more. If there are many, those of challengers without weight make room."""
    if len(known) >= CREDITS_MAX:
        known = frozenset(peer for peer in known if (m := state.members.get(peer)) is not None and m.weight)
    return known if len(known) >= CREDITS_MAX else known | {challenger}


def with_forks(known: frozenset[int], more: frozenset[int]) -> frozenset[int]:
    """The known forks of a log with some more."""
    return frozenset(sorted(known | more)[:FORKS_MAX])


def forget(state: State, params: Params) -> None:
    """Drop entries beyond every deadline, so that the cost of a step does not grow with the ledger.

    Audits and duties are dropped by the epoch of their slot, because later ones would be too late. All else is dropped
    by the number of cuts since it came in, because a cut must hold its base's certificate even if the base is many
    epochs old.
    """
    oldest = state.epoch - params.duty_reach - 2
    state.audits = _waiting(state.audits, oldest)
    state.duties = {key: note for key, note in state.duties.items() if key[1] >= oldest}
    state.reports = {key: body for key, body in state.reports.items() if key[1] >= oldest}
    marks_from = state.index - params.duty_reach - params.dispute_epochs - 2
    state.dissent_marks = {mark: at for mark, at in state.dissent_marks.items() if at >= marks_from}
    cuts_from = state.index - memory_cuts(params)
    _forget_conflicts(state, cuts_from)
    forget_cuts(state, {key for key, at in state.noted.items() if at < cuts_from})
    state.path = state.path[-max(NEAR_CUTS, memory_cuts(params)) :]
    for author in [author for author, at in state.dropped.items() if at < cuts_from - NEAR_CUTS]:
        del state.dropped[author]
        del state.heads[author]
        state.tails.pop(author, None)
        state.forgotten[author] = state.index
    state.forgotten = {author: at for author, at in state.forgotten.items() if at >= cuts_from}
    state.recent = (*state.recent[1 - NEAR_CARRY : -1], *(newest_ids(ids) for ids in state.recent[-1:]))
    # The weights at the bases of remembered cuts count their signatures.
    state.past = {key: cut for key, cut in state.past.items() if cut.index >= cuts_from - 2 * NEAR_CARRY}
    _forget_outcomes(state)


def newest_ids(ids: CutIds) -> CutIds:
    """The newest ids of each author in a cut, so that long logs swell no state."""
    return {
        author: (max(first, first + len(found) - RECENT_IDS_MAX), found[-RECENT_IDS_MAX:])
        for author, (first, found) in ids.items()
    }


def _forget_outcomes(state: State) -> None:
    """Forget what is known of cuts beside the path whose base is forgotten: they can certify nothing any more."""
    known = state.beside
    for cut_id, cut in known.items():
        base = state.cuts[cut_id].base
        if cut is not None and base not in state.past and known.get(base) is None:
            state.beside = {**state.beside, cut_id: None}


def forget_cuts(state: State, gone: Collection[bytes]) -> None:
    """Forget some cuts, with the signatures that name them."""
    if not gone:
        return
    state.noted = {key: at for key, at in state.noted.items() if key not in gone}
    state.cuts = {key: cut for key, cut in state.cuts.items() if key not in gone}
    state.signatures = {key: signed for key, signed in state.signatures.items() if key not in gone}
    state.last_signed = {peer: key for peer, key in state.last_signed.items() if key not in gone}
    state.beside = {key: cut for key, cut in state.beside.items() if key not in gone}
    held = ((key, without(cuts, gone)) for key, cuts in state.proposals.items())
    state.proposals = {key: cuts for key, cuts in held if cuts}


def without(cuts: tuple[bytes, ...], gone: Collection[bytes]) -> tuple[bytes, ...]:
    """The same cuts, or fewer."""
    return tuple(cut for cut in cuts if cut not in gone) if any(cut in gone for cut in cuts) else cuts


def _waiting(
    audits: Mapping[tuple[bytes, int], Mapping[int, AuditNote]], oldest: int
) -> dict[tuple[bytes, int], Mapping[int, AuditNote]]:
    """The audits that may still get a duty: those of each author's newest epochs, not older than `oldest`."""
    kept: dict[tuple[bytes, int], Mapping[int, AuditNote]] = {}
    counts: Counter[bytes] = Counter()
    for key in sorted(audits, reverse=True):
        if key[1] >= oldest and counts[key[0]] < WAITING_EPOCHS_MAX:
            counts[key[0]] += 1
            kept[key] = audits[key]
    return kept


def _forget_conflicts(state: State, cuts_from: int) -> None:
    kept = [(one.since, key) for key, one in state.early_conflicts.items() if one.since >= cuts_from]
    newest = sorted(kept, reverse=True)[:EARLY_CONFLICTS_MAX]
    state.early_conflicts = {key: state.early_conflicts[key] for _, key in sorted(newest)}
