"""Proposals and signatures of cuts in the fold.

A state remembers a proposal only if its author has weight, or had it lately. A step takes the first two proposals of an
author for each epoch, and those that a remembered signature names. The second way is needed because the third proposal
of an author that equivocates may be the one that is certified. After the step an author keeps its newest two, and those
that matter to others: the cuts of the path, and those that a third of the weight signed.

Nothing that was certified is lost. A certified cut beside the path shares honest signers with the next certified cut
of the path. These signed it first, so the step that brings its record brings their signatures as well.
"""

from collections import Counter
from collections.abc import Sequence

from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.cut import decode_cut, decode_cut_signature
from p2pverify.core.state.keys.move import owner_of
from p2pverify.core.state.keys.take import is_above
from p2pverify.core.state.memory import PROPOSALS_MAX, UNKNOWN_SIGNED_MAX, forget_cuts, has_recent_weight
from p2pverify.core.state.transition import Transition


def take(step: Transition, proposals: Sequence[Record], signatures: Sequence[Record]) -> None:
    """Remember the proposals and signatures of this step. Both are sorted by author and number.

    Two different proposals for one epoch and base convict their author, and so do signatures of cuts that are not
    nested.
    """
    state = step.state
    proposed = [record for record in proposals if _counts(step, record)]
    signed = [
        (record.author, decode_cut_signature(record.payload).cut) for record in signatures if _counts(step, record)
    ]
    late = {r.author for r in signatures if is_above(state, r.author, r.seq)}
    for record in proposed:
        if len(state.proposals.get((record.author, record.epoch), ())) < PROPOSALS_MAX:
            _remember(step, record)
    _note_unknown(step, signed)
    for record in proposed:
        if record.id not in state.cuts and record.id in state.signatures:
            _remember(step, record)
    for signer, cut_id in signed:
        if cut_id in state.cuts:
            _sign(step, signer, cut_id, may_convict=signer not in late)
    _trim(step, frozenset(record.author for record in proposed))


def contain(step: Transition) -> None:
    """Note the cuts beside the path that this one is the first to contain, and what comes of the supported ones.

    Two quorums of two thirds share at least a third, and honest members sign only cuts that hold their own earlier
    signatures. So every cut inside this one that was ever certified is supported here, unless a hostile signer holds
    back its signature (protocol/model). A cut that is supported only later has no effect, so that no old state is ever
    needed again.
    """
    state, path = step.state, step.base.path
    beside = sorted(state.cuts.keys() - set(path))
    for base_is_beside in (False, True):
        found = []
        for cut_id in beside:
            if (state.cuts[cut_id].base not in path) is base_is_beside and step.holds(cut_id):
                known = state.beside.setdefault(cut_id)
                if known is None and step.is_near(cut_id) and step.is_supported(cut_id):
                    found.append(cut_id)
        for cut_id, outcome in zip(found, step.frame.outcomes_of(found), strict=True):
            if outcome is not None:
                state.beside[cut_id] = outcome.cut
                step.carried.append(outcome.convictions)


def carry_convictions(step: Transition) -> None:
    """Take over the convictions of the supported cuts that this one is the first to contain."""
    for convictions in step.carried:
        for peer, reason in convictions:
            step.state.convict(owner_of(step.state, peer), reason)


def _counts(step: Transition, record: Record) -> bool:
    return has_recent_weight(step.state, record.author, step.reach)


def _remember(step: Transition, record: Record) -> None:
    """Remember a proposal, and convict its author if it differs from another one for the same epoch and base."""
    state, cut = step.state, decode_cut(record.payload)
    others = state.proposals.get((record.author, cut.epoch), ())
    state.proposals[record.author, cut.epoch] = (*others, record.id)
    state.cuts[record.id] = cut
    state.noted[record.id] = state.index
    is_late = is_above(state, record.author, record.seq)
    if not is_late and any(state.cuts[other].base == cut.base and state.cuts[other] != cut for other in others):
        state.convict(record.author, "two proposals for one epoch")


def _trim(step: Transition, authors: frozenset[bytes]) -> None:
    """Forget the proposals that these authors keep no more. A convicted author keeps none of its own."""
    state = step.state
    kept: dict[bytes, int] = {}
    gone = set()
    for author, epoch in sorted(key for key in state.proposals if key[0] in authors)[::-1]:
        most = 0 if author in state.convicted else PROPOSALS_MAX
        for cut_id in reversed(state.proposals[author, epoch]):
            if _matters(step, cut_id):
                continue
            kept[author] = kept.get(author, 0) + 1
            if kept[author] > most:
                gone.add(cut_id)
    forget_cuts(state, gone)


def _matters(step: Transition, cut_id: bytes) -> bool:
    """Whether a cut is on the path, or signed by a third of the weight, whose hostile part is smaller."""
    signers = step.state.signatures.get(cut_id, frozenset())
    return cut_id in step.state.path or 3 * step.base.weight_of(signers) >= step.base.total_weight


def _note_unknown(step: Transition, signed: list[tuple[bytes, bytes]]) -> None:
    """Remember signatures of cuts that are not remembered, up to the limit of each signer: later cuts may hold them."""
    state = step.state
    unknown = [(signer, cut_id) for signer, cut_id in signed if cut_id not in state.cuts]
    if not unknown:
        return
    counts = Counter(s for cut_id, signers in state.signatures.items() if cut_id not in state.cuts for s in signers)
    for signer, cut_id in unknown:
        signers = state.signatures.get(cut_id, frozenset())
        if signer not in signers and counts[signer] < UNKNOWN_SIGNED_MAX:
            counts[signer] += 1
            state.signatures[cut_id] = signers | {signer}
            state.noted.setdefault(cut_id, state.index)


def _sign(step: Transition, signer: bytes, cut_id: bytes, *, may_convict: bool) -> None:
    """Count a signature. A signer whose cuts are not nested convicts itself, unless its row was handed over before."""
    state = step.state
    state.signatures[cut_id] = state.signatures.get(cut_id, frozenset()) | {signer}
    before = state.last_signed.get(signer)
    state.last_signed[signer] = cut_id
    # Only records inside this cut may decide, because the records outside can differ from peer to peer.
    if not may_convict or before is None or not step.holds(cut_id) or not step.holds(before):
        return
    if not step.is_nested(before, cut_id):
        state.convict(signer, "signed two cuts that are not nested")
