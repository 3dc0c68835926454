"""`ledger verify --rerun` computes decisions of a ledger again. `proofcheck` checks the proof of a wrong one."""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli.output import may_replace
from p2pverify.cli.params import read_id
from p2pverify.cli.progress import Progress
from p2pverify.cli.show.held import Held
from p2pverify.node.engines.kinds import DEFAULT_ENGINE, EngineKind, kind_of
from p2pverify.node.files.outputs import STDOUT, check_output, open_output

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.contract.network import Network
    from p2pverify.node.reports.documents.rerun import RerunDocument, WrongDecision
    from p2pverify.node.rerun.judge import CaseJudge, FindAnswers
    from p2pverify.node.rerun.proof import RerunProof

ALL = "all"
_NO_FILE_NAME = "ledger"


class RerunCount(click.ParamType[str | int]):
    """How many decisions to run again: a number from 1, or "all"."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        """The number, or ALL. Raises BadParameter."""
        if value == ALL:
            return ALL
        if not re.fullmatch(r"[1-9]\d{0,8}", str(value), re.ASCII):
            self.fail("give a number from 1, or all", param, ctx)
        return int(value)


@dataclass(frozen=True, slots=True)
class RerunOptions:
    """The options about running decisions again, as the user gave them."""

    count: str | int | None
    class_name: str | None
    proof_out: str | None
    proof: Path | None
    engine: EngineKind | None
    variant: str
    weights: Path | None
    force: bool

    def check(self, file: Path | None) -> None:
        """Raises UsageError for options that do not go together, and OutputError if no proof could be written."""
        if self.proof is not None and self.count is not None:
            raise click.UsageError("--proof does not go with --rerun")
        if self.count is None and (self.class_name is not None or self.proof_out is not None):
            raise click.UsageError("--class and --proof-out need --rerun")
        if self.count is None and self.proof is None and (self.engine or self.variant or self.weights):
            raise click.UsageError("--engine, --variant and --weights need --rerun or --proof")
        if self.count is not None:
            check_output(self.target(file), self.may_replace, is_binary=True)

    def target(self, file: Path | None) -> str:
        """Where a proof is written."""
        name = _NO_FILE_NAME if file is None or str(file) == STDOUT else str(file)
        return self.proof_out or f"{name}.proof"

    def may_replace(self, path: Path) -> bool:
        """Whether an existing file may be replaced: with --force, or an earlier proof."""
        from p2pverify.node.rerun.proof import HEAD

        if may_replace(force=self.force)(path):
            return True
        with path.open("rb") as file:
            return file.read(len(HEAD)) == HEAD

    @property
    def number(self) -> int | None:
        """How many decisions to draw; None for all."""
        return None if self.count == ALL or self.count is None else int(self.count)


@dataclass(frozen=True, slots=True)
class Pinned:
    """What `--network` names: a network id, and the manifests if it is a file. None and () without the option."""

    network_id: bytes | None = None
    manifests: "tuple[Manifest, ...]" = ()


def read_pin(pin: str | None) -> Pinned:
    """A network file, or a network id given as 64 hexadecimal digits. Raises UsageError."""
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.node.files.textfile import FileError

    if pin is None:
        return Pinned()
    network_id = read_id(pin)
    if network_id is not None:
        return Pinned(network_id)
    try:
        network, manifests = load_network(Path(pin))
    except FileError as error:
        raise click.BadParameter(
            f"{error.reason}; give a network file, or an id of 64 hexadecimal digits", param_hint="--network"
        ) from None
    return Pinned(network.id, manifests)


# ---------------------------------------------------------------- running again


@dataclass(frozen=True, slots=True)
class Ran:
    """The outcome of `--rerun`, and the proof if a decision is wrong."""

    document: "RerunDocument"
    proof: "RerunProof | None"

    def conclude(self, options: RerunOptions, file: Path | None) -> None:
        """Write the proof, and end the command with the finding. Raises NotVerifiedError, CliError."""
        from p2pverify.cli.errors import CliError, NotVerifiedError

        found = self.document
        ran = found.disputes + found.undisputed
        if found.wrong and self.proof is None:
            raise NotVerifiedError(
                f"{len(found.wrong)} of {ran} decisions are wrong by this machine; only the ledger shows it",
                "run it on another machine with the model and the ledger",
            )
        if self.proof is not None:
            target = options.target(file)
            with open_output(target, options.may_replace, mode=0o666, is_binary=True) as output:
                output.write(self.proof.encode())
            raise NotVerifiedError(
                f"{len(found.wrong)} of {ran} decisions are wrong by this machine; "
                f"{target} has the proof of {len(self.proof.cases)}",
                f"run it on another machine with the model: p2pverify ledger verify --proof {target}",
            )
        if not ran:
            raise CliError("this machine can run no decision of this ledger again", _unchecked(found))


def run_again(options: RerunOptions, pinned: Pinned, held: Held) -> Ran:
    """Draw decisions of a ledger and compute them again. Raises CliError, UserError."""
    from p2pverify.core.replica.cases import find_cases
    from p2pverify.node.rerun.draw import draw_cases
    from p2pverify.node.rerun.proof import make_proof
    from p2pverify.node.rerun.run import about_class, run_cases, tell_outcome

    fold, network = held.fold, held.fold.network
    engine = _engine_of(network, options.class_name)
    find_answers = _find_answers(held)
    manifests = _manifests(network, pinned)
    with Progress() as progress, opened_judge(options, network, manifests, engine, find_answers, progress) as judge:
        if options.class_name not in (None, judge.class_name):
            raise refuse_class(judge, str(options.class_name))
        progress("reading decisions", 0, 0)
        cases = about_class(find_cases(fold, held.cut), network, options.class_name)
        draw = draw_cases(cases, options.number, judge.obstacle, random.SystemRandom())
        on_case = partial(progress, "running decisions again")
        outcome = run_cases(judge, find_answers, fold.ledger, draw, on_case)
    proof = make_proof(network, judge.manifest, [wrong for _, wrong in outcome.wrong])
    document = tell_outcome(judge, draw, outcome, options.target(held.file) if proof.cases else None)
    return Ran(document, proof if proof.cases else None)


def _engine_of(network: "Network", class_name: str | None) -> str:
    """The engine id of a class, or of the network's first class. Raises UsageError."""
    names = {each.name: each.engine for each in network.classes}
    if class_name is not None and class_name not in names:
        raise click.BadParameter(f"the network has the classes {', '.join(names)}", param_hint="--class")
    return network.classes[0].engine if class_name is None else names[class_name]


def _manifests(network: "Network", pinned: Pinned) -> "tuple[Manifest, ...]":
    """The manifests of the network, from `--network` or from the home. Raises CliError."""
    from p2pverify.cli.context import current_home
    from p2pverify.cli.errors import CliError
    from p2pverify.node.files.networkfile import load_network

    if pinned.manifests:
        return pinned.manifests
    path = current_home().network_path
    found, manifests = load_network(path) if path.exists() else (None, ())
    if found is None or found.id != network.id:
        raise CliError(
            "the model's golden answers are in the network file, and an export does not hold it",
            "name the network file with --network FILE",
        )
    return manifests


def _find_answers(held: Held) -> "FindAnswers":
    """Where the answers behind receipts across classes are found: only in the home of their challenger."""
    from p2pverify.cli.context import current_home
    from p2pverify.node.rerun.run import kept_answers, no_answers
    from p2pverify.store.reading import owner_of, read_evidence

    if held.file is not None:
        return no_answers
    database = current_home().database_path
    owner = owner_of(database)
    return no_answers if owner is None else kept_answers(owner[1], read_evidence(database))


@contextmanager
def opened_judge(
    options: RerunOptions,
    network: "Network",
    manifests: "tuple[Manifest, ...]",
    engine: str,
    find_answers: "FindAnswers",
    progress: Progress,
) -> "Iterator[CaseJudge]":
    """A judge with the kind of engine that `--engine` names, or else that `engine` begins like.

    Raises ClassError if the machine fails the self-test, and EngineUnavailable.
    """
    from p2pverify.engine.engines import Engines, EngineSettings
    from p2pverify.engine.registry import EngineOpening
    from p2pverify.node.rerun.judge import CaseJudge, prove_class

    kind = options.engine or kind_of(engine) or DEFAULT_ENGINE
    settings = EngineSettings(kind, EngineOpening(weights=options.weights, variant=options.variant))
    engines = Engines(settings, network, manifests, Path(), progress)
    try:
        progress("answering golden questions", 0, 0)
        proven = prove_class(network, manifests, engines.own)
        yield CaseJudge(network, proven, engines.own, engines.open_referee, find_answers)
    finally:
        engines.close()


def refuse_class(judge: "CaseJudge", wanted: str) -> Exception:
    """The error for decisions about a class that this machine does not compute in."""
    from p2pverify.cli.errors import CliError

    return CliError(
        f"this machine computes in class {judge.class_name!r}, and the decisions are about class {wanted!r}",
        "choose another --engine, --variant or --weights, or run them on a machine of that class",
    )


# ---------------------------------------------------------------- text


def values_of(document: object) -> dict[str, object]:
    """A document as values for JSON."""
    from p2pverify.node.reports.documents.jsonform import written

    return written(document)


def rerun_text(found: "RerunDocument") -> str:
    """A run as text: the machine, each wrong decision, and the counts."""
    ran = found.disputes + found.undisputed
    lines = [f"computed again in class {found.class_} by {found.engine} {found.numeric_path} ({found.selftest})"]
    for wrong in found.wrong:
        lines += wrong_lines(wrong)
    lines.append(f"{found.agree} of {ran} agree: {found.disputes} disputes, {found.undisputed} undisputed audits")
    if found.candidates > ran + found.not_checked.refused_by_engine:
        lines[-1] += f", drawn from {found.candidates}"
    unchecked = _unchecked(found)
    return "\n".join([*lines, unchecked] if unchecked else lines)


def wrong_lines(wrong: "WrongDecision") -> list[str]:
    """A wrong decision as lines of text."""
    what = "dispute" if wrong.disputed else "undisputed audit"
    said = [f"  voted for by   {voter}" for voter in wrong.voters] or [f"  opened by      {wrong.challenger}"]
    return [
        f"wrong: {what} {wrong.id}, in cut {wrong.cut}",
        f"  decided        {wrong.decision}",
        f"  computed here  {wrong.computed}",
        *said,
    ]


def _unchecked(found: "RerunDocument") -> str:
    """What could not be run again, and why; empty if there is nothing."""
    counts = found.not_checked
    reasons = [
        (counts.without_answers, "across classes, because the answers are not in the ledger"),
        (counts.other_classes, "of other classes or models"),
        (counts.other_versions, "of other versions of the model"),
        (counts.refused_by_engine, "that the engine refused"),
        (counts.sealed, f"reports, whose questions only their voters saw ({', '.join(found.sealed)})"),
    ]
    parts = [f"{count} {why}" for count, why in reasons if count]
    return f"not checkable: {'; '.join(parts)}" if parts else ""
