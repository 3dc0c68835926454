"""The receipt of an answer: `verify` holds its signed bytes against the network file, and with --rerun the model."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.check.kinds import VerifyOptions
from p2pverify.cli.check.passport_file import assumptions, passport_rows, passport_values, trusted_network
from p2pverify.cli.errors import NotVerifiedError
from p2pverify.cli.output import UnusableError
from p2pverify.cli.table import pairs
from p2pverify.node.files.textfile import read_bytes
from p2pverify.node.reports.documents.jsonform import written

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.contract.network import Network
    from p2pverify.core.inference.compare import Verdict
    from p2pverify.core.proofs.receipt import AnswerFacts
    from p2pverify.node.reports.documents.receipt import ClientAnswer, ReceiptDocument

_SCHEMA = "p2pverify/receipt-check/1"
_AFTER = "get the receipt again, from 'GET /v1/receipts/ID' of the node that answered you"
_NO_PASSPORT = "not proven: anything about the peer, because the receipt has no passport of it"


@dataclass(frozen=True, slots=True)
class _Checked:
    """One answer: as the receipt shows it, as its bytes are, and what running it again gave; None if it was not run."""

    shown: "ClientAnswer"
    facts: "AnswerFacts"
    rerun: "Verdict | None" = None


def check_receipt(file: Path, options: VerifyOptions) -> None:
    """Check a receipt. Raises NotVerifiedError, UnusableError, and UserError if this machine cannot judge."""
    from p2pverify.client.checking import check_receipt as check_bytes
    from p2pverify.core.proofs.passport import Refuted
    from p2pverify.node.clients.checking import RECEIPT_FILE_BYTES_MAX, parse_receipt_file
    from p2pverify.node.reports.documents.jsonform import DocumentError

    network, manifests = trusted_network(options)
    try:
        receipt = parse_receipt_file(read_bytes(file, size_max=RECEIPT_FILE_BYTES_MAX, missing=""))
    except DocumentError as error:
        raise UnusableError(f"{file} is no valid receipt: {error}", _AFTER) from None
    reason, checked = None, []
    try:
        held = check_bytes(network, receipt, options.cut, named="--cut").answers
        checked = [_Checked(each.shown, each.facts) for each in held]
        if options.rerun:
            checked = _run_again(network, manifests, checked, options)
    except Refuted as refuted:
        reason = refuted.reason
    if options.as_json:
        click.echo(json.dumps(_document(network, receipt, checked, reason, options)))
    elif reason is None:
        click.echo(_text(network, receipt, checked, options))
    if reason is not None:
        raise NotVerifiedError(f"{file} is refuted: {reason}", _AFTER)


def _run_again(
    network: "Network", manifests: "tuple[Manifest, ...]", checked: list[_Checked], options: VerifyOptions
) -> list[_Checked]:
    """Compute the answers again. Raises Refuted for one that the model does not give."""
    from p2pverify.cli.progress import Progress
    from p2pverify.cli.show.rerun import RerunOptions, opened_judge
    from p2pverify.core.inference.compare import Verdict
    from p2pverify.core.proofs.passport import Refuted
    from p2pverify.node.rerun.run import no_answers

    own = network.classes[checked[0].facts.answer.receipt.class_index].engine
    judging = RerunOptions(None, None, None, None, options.engine, "", options.weights, False)
    with Progress() as progress, opened_judge(judging, network, manifests, own, no_answers, progress) as judge:
        on_answer = partial(progress, "computing answers again")
        found = []
        for number, each in enumerate(checked, 1):
            receipt, question, output = each.facts.answer.receipt, each.facts.question, each.facts.answer.output
            verdict = judge.check(receipt.class_index, question, output)
            if verdict is Verdict.MISMATCH:
                raise Refuted(f"answer {each.shown.index}: the model does not give it")
            found.append(_Checked(each.shown, each.facts, verdict))
            on_answer(number, len(checked))
    return found


def _document(
    network: "Network", receipt: "ReceiptDocument", checked: list[_Checked], reason: str | None, options: VerifyOptions
) -> dict[str, object]:
    return {
        "schema": _SCHEMA,
        "valid": reason is None,
        "reason": reason,
        "receipt": receipt.id,
        "state": receipt.state,
        "checks": [written(check) for check in receipt.checks],
        "answers": [
            {
                "index": each.shown.index,
                "peer_id": each.shown.peer_id,
                "class": each.shown.class_,
                "returned": each.shown.returned,
                "compared": each.shown.compared,
                "tokens": len(each.facts.answer.output.tokens),
                "manifest": each.facts.question.manifest.hex(),
                "served": None if each.facts.served is None else each.facts.served.hex(),
                "rerun": None if each.rerun is None else str(each.rerun),
                "passport": _passport(network, each, options),
            }
            for each in (checked if reason is None else ())
        ],
    }


def version_lines(network: "Network", facts: "AnswerFacts") -> list[str]:
    """What is proven of the version of the model that gave an answer; nothing of a model without versions."""
    if network.line_of(facts.answer.receipt.class_index) is None:
        return []
    wanted, served, passport = facts.question.manifest, facts.served, facts.passport
    if passport is not None and served == wanted:
        return [f"proven: served version with manifest {wanted.hex()}, by the view of epoch {passport.epoch}"]
    lines = [f"assumed: the peer computed with the version asked for, with manifest {wanted.hex()}"]
    if wanted not in network.manifests:
        lines.append("assumed: this is a version of the model of its class, because only the ledger has its release")
    if passport is not None and served is not None:
        lines.append(f"proven: by the view of epoch {passport.epoch} it served the one with manifest {served.hex()}")
    return lines


def _without_majority(receipt: "ReceiptDocument", checked: list[_Checked]) -> list[str]:
    """What is said of the questions whose answers have no majority, and of a request that failed otherwise."""
    lines = []
    for check in receipt.checks:
        if not check.majority:
            own = [each.facts for each in checked if each.shown.index == check.index]
            signed = {(facts.answer.receipt.class_index, facts.answer.output) for facts in own}
            lines.append(
                f"no majority: {check.panel} peers were to answer, {len(own)} did, and signed {len(signed)} different "
                f"answers to question {check.index}; the client got none of them"
            )
    if receipt.state == "failed" and not lines:
        lines.append("the request failed: its client did not get all answers")
    return lines


def _passport(network: "Network", each: _Checked, options: VerifyOptions) -> dict[str, object] | None:
    facts = each.facts.passport
    return None if facts is None else passport_values(network, facts, options.cut)


def _text(network: "Network", receipt: "ReceiptDocument", checked: list[_Checked], options: VerifyOptions) -> str:
    from p2pverify.core.inference.compare import Verdict

    lines = [f"receipt {receipt.id} holds", *_without_majority(receipt, checked)]
    for each in checked:
        question, output = each.facts.question, each.facts.answer.output
        seed = f"temperature {question.temperature_milli / 1000:g}, seed {question.seed.hex()}"
        returned = "" if each.shown.returned else ", not returned"
        rows: list[tuple[str, object]] = [
            ("answer", f"{each.shown.index}: {len(output.tokens)} tokens to {len(question.prompt)}, {seed}{returned}"),
            ("class", each.shown.class_),
        ]
        shown = _passport(network, each, options)
        rows += [("peer", each.shown.peer_id)] if shown is None else passport_rows(shown)
        lines += ["", pairs(rows), "proven: the peer signed for exactly these tokens to exactly this question"]
        lines += version_lines(network, each.facts)
        lines += (
            ["not proven: anything about the peer, because it has no passport"] if shown is None else assumptions(shown)
        )
        if each.rerun is None:
            lines.append("not proven: that the model gives these tokens; --rerun computes them again")
        elif each.rerun is Verdict.MATCH:
            lines.append("proven: this machine's model gives this answer")
        else:
            lines.append("not decided: the answer is neither clearly the model's nor clearly another's")
    return "\n".join([*lines, "assumed: the text in the receipt is that of the tokens"])
