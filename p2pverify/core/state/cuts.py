"""Proposals and signatures of cuts in the fold.

A state remembers a proposal only if its author has weight, or had it lately, and if one of these holds: it is among the
author's first two for its epoch, or a remembered signature names it. The second way is needed because the third
proposal of an author that equivocates may be the one that is certified.
"""

from collections import Counter
from collections.abc import Sequence

from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.cut import decode_cut, decode_cut_signature
from p2pverify.core.state.memory import PROPOSALS_MAX, UNKNOWN_SIGNED_MAX, has_recent_weight
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
    for record in proposed:
        if len(state.proposals.get((record.author, record.epoch), ())) < PROPOSALS_MAX:
            _remember(step, record)
    _note_unknown(step, signed)
    for record in proposed:
        if record.id not in state.cuts and record.id in state.signatures:
            _remember(step, record)
    for signer, cut_id in signed:
        if cut_id in state.cuts:
            _sign(step, signer, cut_id)


def _counts(step: Transition, record: Record) -> bool:
    return has_recent_weight(step.state, record.author, step.network.params)


def _remember(step: Transition, record: Record) -> None:
    """Remember a proposal, and convict its author if it differs from another one for the same epoch and base."""
    state, cut = step.state, decode_cut(record.payload)
    others = state.proposals.get((record.author, cut.epoch), ())
    state.proposals[record.author, cut.epoch] = (*others, record.id)
    state.cuts[record.id] = cut
    state.noted[record.id] = state.index
    if any(state.cuts[other].base == cut.base and state.cuts[other] != cut for other in others):
        state.convict(record.author, "two proposals for one epoch")


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


def _sign(step: Transition, signer: bytes, cut_id: bytes) -> None:
    """Count a signature. A signer whose cuts are not nested convicts itself."""
    state = step.state
    state.signatures[cut_id] = state.signatures.get(cut_id, frozenset()) | {signer}
    before = state.last_signed.get(signer)
    state.last_signed[signer] = cut_id
    # Only records inside this cut may decide, because the records outside can differ from peer to peer.
    if before is None or not step.holds(cut_id) or not step.holds(before):
        return
    if not step.is_nested(before, cut_id):
        state.convict(signer, "signed two cuts that are not nested")
