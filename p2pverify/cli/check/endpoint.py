"""`p2pverify audit-endpoint`: is the model behind a URL the one of a manifest?

`engine.endpoint` asks and measures; `core.inference.endpoint` concludes.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from p2pverify.cli.errors import INTERRUPTED, CliError, NotReadyError, NotVerifiedError, report
from p2pverify.cli.output import force_option, may_replace
from p2pverify.cli.params import WEIGHTS, InputFile, engine_option
from p2pverify.cli.progress import Progress
from p2pverify.cli.table import pairs
from p2pverify.node.engines.kinds import FOUNDING_KINDS, EngineKind
from p2pverify.node.files.outputs import check_output, open_output

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.inference.endpoint import AuditPlan, Conclusion, EndpointEvidence
    from p2pverify.engine.endpoint.causes import EndpointCause
    from p2pverify.engine.endpoint.judge import EndpointReferee
    from p2pverify.engine.endpoint.run import EndpointAudit

SCHEMA = "p2pverify/endpoint-audit/1"
REQUESTS = 60
TIMEOUT_S = 3600.0
SYSTEM = "You are a helpful assistant."
MANIFEST_FILE = InputFile("make one with 'p2pverify model calibrate --manifest FILE'")
_OTHER_PROMPT = "the server counts other tokens than the template makes, so it adds something"
_PROMPTS = InputFile("write a text file with one prompt per line")


@click.command()
@click.argument("url", metavar="URL")
@click.option("-o", "--output", default="endpoint.evidence", show_default=True, metavar="FILE", help="Evidence file.")
@click.option("--model", default="", metavar="NAME", help="The model's name at the server. [its only one]")
@click.option("--manifest", "manifest_file", type=MANIFEST_FILE, metavar="FILE", help="The promised model.")
@click.option("--weights", type=WEIGHTS, help="Its weights instead of the bundled model.")
@click.option(
    "--requests", type=click.IntRange(1, 1000), default=REQUESTS, show_default=True, help="The most questions."
)
@click.option("--tokens", type=click.IntRange(8, 256), default=64, show_default=True, help="Length of the answers.")
@click.option(
    "--prompt-tokens", type=click.IntRange(4, 192), default=32, show_default=True, help="Length of the questions."
)
@click.option("--prompts", "prompts_file", type=_PROMPTS, metavar="FILE", help="Draw the questions from a text file.")
@click.option("--system", default=SYSTEM, show_default=True, metavar="TEXT", help="System message; '' sends none.")
@click.option(
    "--api", type=click.Choice(("chat", "completions")), default="chat", show_default=True, help="What is asked."
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(1.0), default=TIMEOUT_S, show_default=True, help="Seconds in all."
)
@click.option("--no-cause", is_flag=True, help="Do not look for the cause of mismatches, which takes a minute.")
@engine_option(FOUNDING_KINDS)
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def audit_endpoint(
    url: str,
    output: str,
    model: str,
    manifest_file: Path | None,
    weights: Path | None,
    requests: int,
    tokens: int,
    prompt_tokens: int,
    prompts_file: Path | None,
    system: str,
    api: str,
    timeout_s: float,
    no_cause: bool,
    engine: EngineKind,
    force: bool,
    as_json: bool,
) -> None:
    """Ask a server with OpenAI's API ordinary questions, and measure how far its answers are from the model's own.

    URL looks like https://example.org/v1; the key is in P2PVERIFY_OPENAI_KEY. The questions are greedy. The audit stops
    when the odds against the server reach a million to one. Exit 0 for a match, 5 for a mismatch, 1 if nothing can be
    said, 4 if the server does not answer. Anybody with the model can check FILE: p2pverify verify FILE.
    """
    from p2pverify.core.inference.endpoint import Api, AuditPlan
    from p2pverify.engine.endpoint.client import ANSWER_S, EndpointClient
    from p2pverify.engine.endpoint.judge import EndpointJudge
    from p2pverify.engine.endpoint.run import EndpointAudit
    from p2pverify.engine.openai import KEY_VARIABLE, Endpoint
    from p2pverify.engine.openai.http import ServerError

    check_output(output, may_replace(force=force), is_binary=True)
    corpus, corpus_digest = _read_prompts(prompts_file)
    plan = AuditPlan(Api(api), requests, prompt_tokens, tokens, system, os.urandom(16), corpus_digest)
    with Progress() as progress:
        referee, manifest = open_referee_of(engine, weights, manifest_file, progress)
        try:
            try:
                progress("asking the server", 0, requests)
                server = Endpoint(url, model, os.environ.get(KEY_VARIABLE, ""))
                client = EndpointClient(server, plan, answer_s=min(ANSWER_S, timeout_s))
                audit = EndpointAudit(client, EndpointJudge(referee, plan, corpus), plan, manifest, referee.info.engine)
            except ValueError as error:
                raise CliError(f"this cannot be audited: {error}", "'p2pverify audit-endpoint --help'") from None
            _run(audit, plan, output, timeout_s, progress, force=force)
            found = None if no_cause else _cause(audit, plan, referee, progress)
        except ServerError as error:
            raise NotReadyError(str(error), "check the URL, --model and the key") from None
        finally:
            referee.close()
    _tell(audit, output, found, as_json=as_json)


def _read_prompts(path: Path | None) -> tuple[tuple[str, ...], bytes | None]:
    """The prompts of a file, and its digest."""
    from p2pverify.node.files.corpus import read_corpus

    if path is None:
        return (), None
    return tuple(prompt.text for prompt in read_corpus(path)), hashlib.sha256(path.read_bytes()).digest()


def open_referee_of(
    engine: EngineKind, weights: Path | None, manifest_file: Path | None, progress: Progress
) -> "tuple[EndpointReferee, Manifest]":
    """The referee on the weights, and the manifest that describes them. Raises CliError, EngineUnavailable."""
    from p2pverify.cli.setup.manifest import manifest_from
    from p2pverify.engine.registry import EngineOpening, open_referee
    from p2pverify.node.engines.kinds import referee_for

    progress("opening the referee", 0, 0)
    opened = open_referee(referee_for(engine), EngineOpening(weights=weights, progress=progress))
    try:
        manifest = manifest_from(manifest_file, opened.info, must_exist=True)
    except BaseException:
        opened.close()
        raise
    return cast("EndpointReferee", opened), manifest


def _run(
    audit: "EndpointAudit", plan: "AuditPlan", output: str, timeout_s: float, progress: Progress, *, force: bool
) -> None:
    """Ask until the end. The evidence is written however it ends. Ends the command if it is interrupted."""

    def on_answer(found: "Conclusion") -> None:
        progress(f"{found.judged} answers judged, {found.mismatches} mismatches", found.asked, plan.requests)

    try:
        audit.run(timeout_s, on_answer)
    except KeyboardInterrupt:
        progress.close()
        if audit.answers:
            _write(audit.evidence, output, force=force)
            report(f"interrupted: {_sentence(audit.conclusion)}", f"{output} has the evidence up to here")
        raise click.exceptions.Exit(INTERRUPTED) from None
    _write(audit.evidence, output, force=force)


def _write(evidence: "EndpointEvidence", output: str, *, force: bool) -> None:
    with open_output(output, may_replace(force=force), mode=0o666, is_binary=True) as file:
        file.write(evidence.encode())


def _cause(
    audit: "EndpointAudit", plan: "AuditPlan", referee: "EndpointReferee", progress: Progress
) -> "EndpointCause | None":
    from p2pverify.core.inference.compare import Verdict
    from p2pverify.engine.endpoint.causes import find_endpoint_cause

    if audit.conclusion.verdict is not Verdict.MISMATCH:
        return None
    return find_endpoint_cause(plan, audit.answers, audit.bounds, referee, audit.ask_again, progress)


def _tell(audit: "EndpointAudit", output: str, cause: "EndpointCause | None", *, as_json: bool) -> None:
    """Print the outcome, and end the command with its exit code."""
    found = audit.conclusion
    document = endpoint_document(audit.evidence, cause)
    click.echo(json.dumps({**document, "evidence": output}) if as_json else endpoint_text(document))
    hint = f"anybody with the model can check it: p2pverify verify {output}"
    if found.verdict.value == "mismatch":
        raise NotVerifiedError(f"this is not the model: {_sentence(found)}", hint)
    if audit.stopped and found.verdict.value == "inconclusive":
        raise NotReadyError(f"{audit.stopped}: {_sentence(found)}", f"{output} has the evidence up to here")
    if found.verdict.value == "inconclusive":
        raise CliError(f"nothing can be said: {_sentence(found)}", _why(audit.evidence))


def _why(evidence: "EndpointEvidence") -> str:
    reason = next((answer.reason for answer in evidence.answers if answer.reason), "")
    return f"for example: {reason}" if reason else "ask more questions with --requests"


def endpoint_document(evidence: "EndpointEvidence", cause: "EndpointCause | None" = None) -> dict[str, Any]:
    """The outcome of an audit for JSON."""
    found = evidence.conclusion
    return {
        "schema": SCHEMA,
        "url": evidence.url,
        "model": evidence.model,
        "manifest": hashlib.sha256(evidence.manifest).hexdigest(),
        "referee": evidence.referee,
        "seed": evidence.plan.seed.hex(),
        "verdict": found.verdict.value,
        "requests": evidence.plan.requests,
        "asked": found.asked,
        "judged": found.judged,
        "mismatches": found.mismatches,
        "capital": found.capital,
        "bound_ppm": found.bound_ppm,
        "other_prompts": sum(answer.counted not in (None, len(answer.prompt)) for answer in evidence.answers),
        "by_text": sum(answer.reading.value == "text" for answer in evidence.answers),
        "cause": None if cause is None else cause.cause,
        "finding": None if cause is None else cause.finding,
        "conclusion": _sentence(found, cause),
    }


def endpoint_text(document: dict[str, Any]) -> str:
    """The outcome as text."""
    unjudged = document["asked"] - document["judged"]
    rows = [
        ("server", document["url"]),
        ("model", document["model"]),
        ("manifest", document["manifest"]),
        ("questions", f"{document['asked']} of {document['requests']}, {document['judged']} judged"),
    ]
    if unjudged:
        rows.append(("not judged", str(unjudged)))
    if document["by_text"]:
        rows.append(("by text alone", f"{document['by_text']}, because the server does not name its tokens"))
    if document["other_prompts"]:
        rows.append(("other prompts", f"{document['other_prompts']}: {_OTHER_PROMPT}"))
    if document["finding"]:
        rows.append(("cause", f"{document['cause']}: {document['finding']}"))
    return f"{pairs(rows)}\n\n{document['conclusion']}"


def _sentence(found: "Conclusion", cause: "EndpointCause | None" = None) -> str:
    if found.verdict.value == "mismatch":
        return f"{cause.cause if cause else 'mismatch'}, odds {_odds(found.capital)} : 1 after {found.judged} answers"
    if found.mismatches == 0 and found.judged:
        seen = f"no mismatch in {found.judged}"
    else:
        seen = f"{found.mismatches} mismatches in {found.judged}" if found.judged else "no answer could be judged"
    if found.bound_ppm is None:
        return seen
    return f"{seen}: at most {-(-found.bound_ppm // 1000) / 10:.1f} % at 95 %"


def _odds(capital: int) -> str:
    """The odds as a power of ten, rounded down. A capital is their logarithm in 1/1024 nat."""
    return f"1e{capital * 1000 // (1024 * 2303)}"
