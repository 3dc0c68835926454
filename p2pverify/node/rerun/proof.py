"""The proof file: wrong decisions of a ledger, with all that another machine with the model needs to run them again.

Protocol page: protocol/rerun.md. The file holds the network's definition, the manifest of the model, and for each
decision the signed records: the audit, the duty, and the votes for it. Across classes it also holds the judged answers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from p2pverify.core.contract.manifest import MANIFEST_BYTES_MAX, Manifest, decode_manifest
from p2pverify.core.contract.network import NETWORK_BYTES_MAX, Network, decode_network
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, decode, encode
from p2pverify.core.errors import DecodeError, GossipIgnore, GossipReject
from p2pverify.core.inference.compare import measures_value, read_measures
from p2pverify.core.records.envelope import RECORD_BYTES_MAX, Kind, Record
from p2pverify.core.records.judge import FAR_FUTURE, judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads.audit import audit_of
from p2pverify.core.records.payloads.vote import ASKED_MAX, UNDERIVABLE, decode_vote
from p2pverify.core.replica.cases import Case, classes_of, undisputed_output
from p2pverify.core.roles.disputes.evidence import decode_evidence, encode_evidence
from p2pverify.core.roles.disputes.evidence_fetch import Outputs
from p2pverify.core.state.verdicts.derive import owed_slot
from p2pverify.core.state.verdicts.duties import find_fault
from p2pverify.node.rerun.judge import Rerun, all_fit

DOMAIN = "p2pverify/rerun-proof/1"
PROOF_BYTES_MAX = 1_048_576
CASES_MAX = 64
VOTES_MAX = 64
_DEPTH_MAX = 6
#: The first bytes of every proof file.
HEAD = b"\x84" + encode(DOMAIN)


class ProofRefuted(Exception):
    """A decision in a proof file is not shown to be wrong; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class WrongCase:
    """A decision that a machine claims to be wrong, with its own result. Records are bytes as they travelled.

    `votes` are votes for the decision, by different authors; none for an audit that its challenger's opening decided.
    `outputs` are the judged answers of a slot across classes, one for each asked peer; else there are none.
    """

    audit: bytes
    duty: bytes
    decision: bytes
    cut: bytes
    votes: tuple[bytes, ...]
    computed: Rerun
    outputs: Outputs = ()

    def to_value(self) -> list[object]:
        answers = [encode_evidence(output) for output in self.outputs]
        found = self.computed
        signed = [self.audit, self.duty, list(self.votes), self.decision]
        return [*signed, answers, found.output, measures_value(found.measures), self.cut]


@dataclass(frozen=True, slots=True)
class RerunProof:
    """A proof file: the canonical definition of a network, the canonical manifest of a model, and wrong decisions."""

    definition: bytes
    manifest: bytes
    cases: tuple[WrongCase, ...]

    def encode(self) -> bytes:
        return encode([DOMAIN, self.definition, self.manifest, [case.to_value() for case in self.cases]])


def wrong_case(case: Case, votes: Sequence[Record], computed: Rerun, outputs: Outputs | None) -> WrongCase:
    """The entry of a wrong decision, with at most VOTES_MAX of its votes."""
    return WrongCase(
        case.audit_record.data,
        case.duty_record.data,
        case.decision,
        case.cut,
        tuple(record.data for record in votes[:VOTES_MAX]),
        computed,
        outputs or (),
    )


def make_proof(network: Network, manifest: Manifest, cases: Iterable[WrongCase]) -> RerunProof:
    """A proof file with as many of the cases as fit, the first ones first.

    Those that need a ledger, because only it says which version of the model was asked, are left out.
    """
    proof = RerunProof((network.first or network).encode(), manifest.encode(), ())
    for case in cases:
        if not shows_model(network, manifest.digest, case.computed):
            continue
        longer = RerunProof(proof.definition, proof.manifest, (*proof.cases, case))
        if len(longer.cases) <= CASES_MAX and len(longer.encode()) <= PROOF_BYTES_MAX:
            proof = longer
    return proof


def decode_proof(data: bytes) -> RerunProof:
    """Read a proof file strictly. Raises DecodeError. Only its form is checked here."""
    value = decode(data, size_max=PROOF_BYTES_MAX, depth_max=_DEPTH_MAX)
    domain, definition, manifest, cases = as_array(value, "proof", length=4)
    if domain != DOMAIN:
        raise DecodeError("not a re-run proof")
    found = tuple(_read_case(case) for case in as_array(cases, "decisions", length_max=CASES_MAX))
    if not found or len({case.audit for case in found}) != len(found):
        raise DecodeError("decisions are none or repeat")
    return RerunProof(
        as_bytes(definition, "network definition", size_max=NETWORK_BYTES_MAX),
        as_bytes(manifest, "manifest", size_max=MANIFEST_BYTES_MAX),
        found,
    )


def _read_case(value: Value) -> WrongCase:
    audit, duty, votes, decided, answers, computed, measures, cut = as_array(value, "decision", length=8)
    return WrongCase(
        as_bytes(audit, "audit", size_max=RECORD_BYTES_MAX),
        as_bytes(duty, "duty", size_max=RECORD_BYTES_MAX),
        as_bytes(decided, "decided", size=32),
        as_bytes(cut, "cut", size=32),
        tuple(
            as_bytes(vote, "vote", size_max=RECORD_BYTES_MAX) for vote in as_array(votes, "votes", length_max=VOTES_MAX)
        ),
        Rerun(as_bytes(computed, "computed", size=32), read_measures(measures, ASKED_MAX)),
        tuple(decode_evidence(as_bytes(each, "answer")) for each in as_array(answers, "answers", length_max=ASKED_MAX)),
    )


def read_contract(proof: RerunProof) -> tuple[Network, Manifest]:
    """The network and the manifest of a proof file. Raises DecodeError."""
    network, manifest = decode_network(proof.definition), decode_manifest(proof.manifest)
    if manifest.digest not in network.manifests:
        raise DecodeError("the manifest is not one of the network")
    return network, manifest


def signed_case(network: Network, wrong: WrongCase) -> Case:
    """The case that the records of an entry show. Raises ProofRefuted if they do not show it.

    Every signature, VRF proof, receipt and opening is checked. A certificate of the cut is not in the file.
    """
    rules = Rules(network, network.id, FAR_FUTURE)
    audit_record = _judged(wrong.audit, Kind.AUDIT, rules)
    duty_record = _judged(wrong.duty, Kind.DUTY, rules)
    places = classes_of(audit_of(audit_record))
    if not places or max(places) >= len(network.classes):
        raise ProofRefuted("the audit has no receipt of a class of the network")
    model = network.classes[places[0]].manifest
    case = Case(audit_record, duty_record, wrong.decision, bool(wrong.votes), wrong.cut, model)
    audit, duty = case.audit, case.duty
    if (duty_record.author, duty.epoch, duty.anchor) != (audit.challenger, audit.epoch, audit.anchor):
        raise ProofRefuted("the duty is not that of the audit")
    if not shows_model(network, model, wrong.computed):
        raise ProofRefuted("the records do not show which version of the model was asked")
    if owed_slot(duty, audit.slot, network.params) is None:
        raise ProofRefuted("the challenger did not owe this slot")
    if case.is_disputed:
        _check_votes(wrong, case, rules)
    else:
        _check_opening(network, case)
    outputs = wrong.outputs if case.is_across else ()
    if outputs != wrong.outputs or (case.is_across and not all_fit(audit, outputs)):
        raise ProofRefuted("the answers are not those of the receipts")
    return case


def shows_model(network: Network, model: bytes, computed: Rerun) -> bool:
    """Whether the records of a case show that it is about the model of its class (the digest of its manifest).

    The id of the question names the model. So only a question that does not follow from the slot can be one of a later
    version.
    """
    return computed.output != UNDERIVABLE or all(line.genesis != model for line in network.lines)


def _judged(data: bytes, kind: Kind, rules: Rules) -> Record:
    name = kind.name.lower()
    try:
        record = judge(data, rules)
    except (GossipIgnore, GossipReject) as refused:
        raise ProofRefuted(f"the {name} does not hold: {refused.reason}") from None
    if record.kind != kind:
        raise ProofRefuted(f"a record of another kind stands for the {name}")
    return record


def _check_votes(wrong: WrongCase, case: Case, rules: Rules) -> None:
    """Each vote is signed, by another author, for this decision of this dispute. Raises ProofRefuted."""
    authors = set()
    for data in wrong.votes:
        record = _judged(data, Kind.VOTE, rules)
        vote = decode_vote(record.payload)
        if (vote.dispute, vote.output) != (case.audit.key, case.decision):
            raise ProofRefuted("a vote is not for this decision")
        authors.add(record.author)
    if len(authors) != len(wrong.votes):
        raise ProofRefuted("two votes are by one author")


def _check_opening(network: Network, case: Case) -> None:
    """The challenger's opening claims this output. Raises ProofRefuted."""
    audit = case.audit
    opening = next((each for each in case.duty.openings if each.slot == audit.slot), None)
    if audit.differ or opening is None:
        raise ProofRefuted("neither votes nor an opening show the decision")
    if audit.is_across and any(network.classes[index].across is None for index in case.classes):
        raise ProofRefuted("a class of the answers is judged by no referee")
    fault = find_fault(network, network.id, case.classes[0], audit, opening)
    if fault is not None:
        raise ProofRefuted(f"the opening does not hold: {fault}")
    if undisputed_output(audit, opening) != case.decision:
        raise ProofRefuted("the challenger opened another output")


def voters_of(wrong: WrongCase, network: Network) -> tuple[bytes, ...]:
    """The authors of the votes of an entry whose records hold."""
    rules = Rules(network, network.id, FAR_FUTURE)
    return tuple(_judged(data, Kind.VOTE, rules).author for data in wrong.votes)
