"""Rewrite the cases in `protocol/vectors` and the examples in the pages: `python tests/protocol/make_vectors.py`.

Only for changes of the protocol. The tests read the files like another implementation.
"""

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from vectorgen import (
    amended_folds,
    amendments,
    audits,
    blobs,
    boxes,
    canaries,
    client_receipts,
    committees,
    crossed,
    data,
    data_folds,
    diag,
    endpoints,
    evidence,
    examples,
    folds,
    functions,
    gossip,
    keychanges,
    line_folds,
    lineages,
    lines,
    manifests,
    membership,
    money,
    money_folds,
    passports,
    peer_lists,
    plans,
    report_folds,
    reported,
    round_folds,
    rounds,
    segments,
    speed,
    states,
    streams,
    sync,
    training,
    votes,
)
from vectorgen.case import Case

from p2pverify.core.encoding.canon import encode

PROTOCOL = Path(__file__).parents[2] / "protocol"
HEX_WIDTH = 112
VALID = {"accept", "answer", "refusal"}


def page_examples() -> dict[str, list[tuple[bytes, str]]]:
    """For each page, the bytes of its examples and their diagnostic notation."""
    records = {
        "network.md": membership.network_record(),
        "manifest.md": manifests.manifest_record(),
        "join.md": examples.join(examples.CAROL),
        "leave.md": membership.leave_record(),
        "audit.md": examples.AUDIT_RECORD,
        "duty.md": examples.DUTY_RECORD,
        "vote-commit.md": examples.COMMIT_RECORD,
        "vote.md": examples.VOTE_RECORD,
        "cut.md": examples.CUT_RECORD,
        "cut-signature.md": examples.CUT_SIGNATURE,
        "conflict.md": votes.FORK,
        "sponsor.md": membership.sponsor_record(),
        "objection.md": votes.objection_record(),
        "report.md": reported.REPORT_RECORD,
        "release.md": lines.RELEASE_RECORD,
        "recall.md": lines.RECALL_RECORD,
        "rotation.md": lines.ROTATION_RECORD,
        "serve.md": lines.SERVE_RECORD,
        "dataset.md": data.dataset_record(),
        "erasure.md": data.erasure_record(),
        "statement.md": data.statement_record(),
        "update-seal.md": rounds.SEAL_RECORD,
        "update.md": rounds.UPDATE_RECORD,
        "round-commit.md": rounds.COMMIT_RECORD,
        "round-vote.md": rounds.VOTE_RECORD,
        "loss-seal.md": rounds.LOSS_SEAL_RECORD,
        "loss-report.md": rounds.LOSS_REPORT_RECORD,
        "pledge.md": money.PLEDGE_RECORD,
        "cheque.md": money.CHEQUE_RECORD,
        "payment.md": money.PAYMENT_RECORD,
        "amendment.md": amendments.amendment_record(),
        "approval.md": amendments.approval_record(),
        "handover.md": keychanges.handover_record(),
        "object.md": keychanges.object_record(),
        "rekey.md": keychanges.rekey_record(),
    }
    found = {page: [(each.data, diag.annotate_record(each.data))] for page, each in records.items()}
    found["request.md"] = [
        (streams.DATA, diag.annotate(streams.DATA, "request")),
        (streams.ANSWER, diag.annotate(streams.ANSWER, "answer")),
        (streams.LAST, diag.annotate(streams.LAST, "last-answer")),
    ]
    found["evidence.md"] = [
        (evidence.ASKS, diag.annotate(evidence.ASKS, "evidence-request")),
        (evidence.SHOWN, diag.annotate(evidence.SHOWN, "claimed-answer")),
    ]
    found["lineage.md"] = [
        (lineages.STATEMENT, diag.annotate(lineages.STATEMENT, "release-statement")),
        (lineages.RECIPE, diag.annotate(lineages.RECIPE, "format-recipe")),
    ]
    listed, asked = blobs.LIST.encode(), blobs.ASKED.encode()
    found["blob.md"] = [
        (encode(blobs.ENTRY.to_value()), diag.annotate(encode(blobs.ENTRY.to_value()), "file")),
        (listed, diag.annotate(listed, "chunk-list")),
        (asked, diag.annotate(asked, "blob-request")),
        (b"\0hello", ""),
    ]
    found["canary.md"] = [
        (canaries.HIDDEN, diag.annotate(canaries.HIDDEN, "hidden-prompt")),
        (canaries.EVIDENCE, diag.annotate(canaries.EVIDENCE, "canary-evidence")),
    ]
    header, member = states.shown_leaves()
    found["state.md"] = [
        (header, diag.annotate(header, "state-header")),
        (member, diag.annotate(member, "member-leaf")),
    ]
    found["sync.md"] = [(data, diag.annotate(data, rule)) for data, rule in sync.SHOWN]
    view, row = examples.first_view()
    found["view.md"] = [(view, diag.annotate(view, "view")), (row, diag.annotate(row, "score-row"))]
    passport = passports.example().encode()
    found["passport.md"] = [(passport, diag.annotate(passport, "passport"))]
    early = membership.early_and_forged()
    found["judgement.md"] = [(early, "")]
    return found


def write_vectors() -> None:
    cases: dict[Path, list[Case]] = {}
    for module in (
        membership,
        amendments,
        amended_folds,
        manifests,
        lineages,
        audits,
        votes,
        peer_lists,
        streams,
        evidence,
        blobs,
        canaries,
        sync,
        speed,
        functions,
        crossed,
        committees,
        folds,
        states,
        passports,
        segments,
        client_receipts,
        gossip,
        plans,
        reported,
        boxes,
        report_folds,
        lines,
        line_folds,
        endpoints,
        data,
        data_folds,
        training,
        rounds,
        round_folds,
        money,
        money_folds,
        keychanges,
    ):
        cases.update(module.cases())
    for path, found in cases.items():
        if path.suffix:
            _write(path, found)
            continue
        good = [case for case in found if case["reason"] is None or case["expect"] in VALID]
        _write(path / "valid.json", good)
        _write(path / "invalid.json", [case for case in found if case not in good])


def _write(path: Path, cases: list[Case]) -> None:
    target = PROTOCOL / "vectors" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(cases, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_pages() -> None:
    for page, shown in page_examples().items():
        path = PROTOCOL / page
        text = path.read_text(encoding="utf-8")
        text = _fill(text, "hex", [_wrapped(data) for data, _ in shown])
        text = _fill(text, "cbor-diag", [note for _, note in shown])
        path.write_text(text, encoding="utf-8")
    path = PROTOCOL / "client-receipt.md"
    path.write_text(_fill(path.read_text(encoding="utf-8"), "json", [client_receipts.shown()]), encoding="utf-8")


def _fill(text: str, language: str, blocks: list[str]) -> str:
    """The text with its blocks of a language replaced, in order."""
    for at, found in reversed(list(enumerate(re.finditer(rf"```{language}\n.*?```", text, re.DOTALL)))):
        text = f"{text[: found.start()]}```{language}\n{blocks[at]}\n```{text[found.end() :]}"
    return text


def _wrapped(data: bytes) -> str:
    text = data.hex()
    return "\n".join(text[at : at + HEX_WIDTH] for at in range(0, len(text), HEX_WIDTH))


if __name__ == "__main__":
    write_vectors()
    write_pages()
