"""`ledger verify --proof` runs the decisions of a proof file again, and confirms or refutes that they are wrong."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.progress import Progress
from p2pverify.cli.show.held import Held
from p2pverify.cli.show.rerun import Pinned, RerunOptions, opened_judge, refuse_class, values_of, wrong_lines
from p2pverify.cli.table import pairs

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.contract.network import Network
    from p2pverify.core.replica.cases import Case
    from p2pverify.core.roles.disputes.evidence_fetch import Outputs
    from p2pverify.node.reports.documents.rerun import ProofCheckDocument, WrongDecision
    from p2pverify.node.rerun.judge import CaseJudge
    from p2pverify.node.rerun.proof import WrongCase

_HINT = "give a file that 'p2pverify ledger verify --rerun' wrote"
_AFTER_REFUTED = "run the decisions of the ledger again: p2pverify ledger verify FILE --rerun all"


@dataclass(frozen=True, slots=True)
class _Checked:
    """A proof whose form holds: its contract, the claims, and the decisions whose records hold so far."""

    network: "Network"
    manifest: "Manifest"
    claims: "tuple[WrongCase, ...]"


def check_proof(path: Path, options: RerunOptions, pinned: Pinned, held: Held | None, *, as_json: bool) -> None:
    """Check a proof file, and with `held` that the ledger has its decisions. Ends the command with exit 5 if refuted.

    Raises UnusableError for another file, and CliError or UserError if this machine cannot judge it.
    """
    from p2pverify.cli.errors import NotVerifiedError
    from p2pverify.node.rerun.proof import ProofRefuted

    checked = _read(path)
    judge: CaseJudge | None = None
    told: list[WrongDecision] = []
    reason = None
    in_ledger = None if held is None else False
    try:
        cases = _cases(checked, pinned, held)
        if held is not None:
            _check_ledger(cases, held)
            in_ledger = True
        with Progress() as progress:
            judge = _run(checked, cases, options, progress)
        told = _told(checked, cases)
    except ProofRefuted as refuted:
        reason = refuted.reason
    document = _document(checked.network, judge, told, reason, in_ledger, is_pinned=pinned.network_id is not None)
    click.echo(json.dumps(values_of(document)) if as_json else _text(document))
    if reason is not None:
        raise NotVerifiedError(f"the proof is refuted: {reason}", _AFTER_REFUTED)


def _read(path: Path) -> _Checked:
    """Raises UnusableError for a file of another form."""
    from p2pverify.cli.output import UnusableError
    from p2pverify.core.errors import DecodeError
    from p2pverify.node.rerun.proof import PROOF_BYTES_MAX, decode_proof, read_contract

    try:
        with path.open("rb") as file:
            data = file.read(PROOF_BYTES_MAX + 1)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None
    try:
        proof = decode_proof(data)
        return _Checked(*read_contract(proof), proof.cases)
    except DecodeError as error:
        raise UnusableError(f"{path} is no proof file: {error.reason}", _HINT) from None


def _cases(checked: _Checked, pinned: Pinned, held: Held | None) -> "list[Case]":
    """The cases that the records in the file show. Raises ProofRefuted."""
    from p2pverify.node.rerun.proof import ProofRefuted, signed_case

    network = checked.network
    wanted = pinned.network_id if held is None else held.fold.network_id
    if wanted is not None and network.id != wanted:
        raise ProofRefuted(f"it is of network {network.id.hex()}, not of {wanted.hex()}")
    return [signed_case(network, claim) for claim in checked.claims]


def _check_ledger(cases: "Sequence[Case]", held: Held) -> None:
    """Raises ProofRefuted if a decision is not one of the ledger's."""
    from p2pverify.core.replica.cases import find_cases
    from p2pverify.node.rerun.proof import ProofRefuted

    missing = set(cases)
    for found in find_cases(held.fold, held.cut):
        missing.discard(found)
    if missing:
        raise ProofRefuted("the ledger does not hold one of its decisions")


def _run(checked: _Checked, cases: "Sequence[Case]", options: RerunOptions, progress: Progress) -> "CaseJudge":
    """Compute every case again; the judge if each decision is wrong as claimed. Raises ProofRefuted, CliError."""
    from p2pverify.cli.errors import CliError
    from p2pverify.node.rerun.proof import ProofRefuted

    network = checked.network
    claims = {claim.audit: claim for claim in checked.claims}
    first = network.classes[cases[0].classes[0]]

    def find_answers(case: "Case") -> "Outputs":
        return claims[case.audit_record.data].outputs

    with opened_judge(options, network, (checked.manifest,), first.engine, find_answers, progress) as judge:
        for done, case in enumerate(cases):
            progress("running decisions again", done, len(cases))
            if judge.obstacle(case) is not None:
                raise refuse_class(judge, network.classes[case.classes[0]].name)
            try:
                found = judge.run(case)
            except ValueError as error:
                raise CliError(f"the engine cannot take the question: {error}", "run it with another engine") from None
            if found.output == case.decision:
                raise ProofRefuted("this machine computes what was decided")
            if found != claims[case.audit_record.data].computed:
                raise ProofRefuted("this machine computes neither what was decided nor what the file says")
        return judge


def _told(checked: _Checked, cases: "Sequence[Case]") -> "list[WrongDecision]":
    from p2pverify.node.rerun.proof import voters_of
    from p2pverify.node.rerun.run import tell_wrong

    network = checked.network
    return [
        tell_wrong(case, claim.computed.output, voters_of(claim, network))
        for case, claim in zip(cases, checked.claims, strict=True)
    ]


def _document(
    network: "Network",
    judge: "CaseJudge | None",
    told: "list[WrongDecision]",
    reason: str | None,
    in_ledger: bool | None,
    *,
    is_pinned: bool,
) -> "ProofCheckDocument":
    from p2pverify.node.reports.documents.rerun import ProofCheckDocument

    return ProofCheckDocument(
        schema="p2pverify/rerun-proof-check/1",
        confirmed=reason is None,
        reason=reason,
        network=network.id.hex(),
        network_name=network.name,
        network_is_pinned=is_pinned,
        in_ledger=in_ledger,
        class_=None if judge is None else judge.class_name,
        engine=None if judge is None else judge.info.engine,
        numeric_path=None if judge is None else judge.info.numeric_path,
        decisions=tuple(told),
    )


def _text(found: "ProofCheckDocument") -> str:
    lines = [pairs([("network", found.network_name), ("network id", found.network)])]
    for each in found.decisions:
        lines += wrong_lines(each)
    if not found.confirmed:
        return lines[0]
    lines.append(f"confirmed: {len(found.decisions)} wrong, computed in class {found.class_} by {found.engine}")
    if found.in_ledger is None:
        lines.append("whether these records and votes stand in the ledger is not checked: give the ledger too, as FILE")
    if not found.network_is_pinned and found.in_ledger is None:
        lines.append("the network is the file's own claim: check it with --network FILE|ID")
    return "\n".join(lines)
