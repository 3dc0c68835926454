"""`model canary`: secret prompts with known answers, for users who cannot run the model themselves.

protocol/canary.md says what the answers show, and what they do not show. `core.inference.canary` judges them.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError, NotVerifiedError
from p2pverify.cli.params import WEIGHTS, InputFile, engine_option
from p2pverify.cli.progress import Progress
from p2pverify.cli.setup.canary_ask import (
    SECRETS_FILE,
    ask,
    choose_fresh,
    json_option,
    network_option,
    print_finding,
    with_spent,
)
from p2pverify.cli.setup.manifest import starting_manifest
from p2pverify.cli.table import table
from p2pverify.node.engines.kinds import LOCAL_KINDS, EngineKind
from p2pverify.node.files.outputs import always, check_output

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.inference.canary import Trigger

_LIST_SCHEMA = "p2pverify/canaries/1"
_HASH_CHARS = 16
_file = click.Path(path_type=Path)


@click.group()
def canary() -> None:
    """Test a peer with secret prompts, without running the model.

    This is a second opinion, and no verdict is based on it. protocol/canary.md says what it cannot show.
    """


canary.add_command(ask)


@canary.command()
@click.argument("secrets_file", metavar="SECRETS", type=_file)
@click.option(
    "--manifest",
    "manifest_file",
    type=_file,
    metavar="FILE",
    required=True,
    help="The manifest file that gets the commitments.",
)
@click.option("--count", type=click.IntRange(1, 256), default=8, show_default=True, help="Number of triggers.")
@click.option("--tokens", type=click.IntRange(1, 256), default=32, show_default=True, help="Length of the answers.")
@click.option(
    "--prompt-tokens", type=click.IntRange(1, 192), default=64, show_default=True, help="Length of the prompts."
)
@click.option("--merge", is_flag=True, help="Make no triggers; answer those in SECRETS on this machine's path too.")
@engine_option(LOCAL_KINDS)
@click.option("--variant", default="", metavar="NAME", help="Another numeric path: see config.toml.")
@click.option("--weights", type=WEIGHTS, help="Weights instead of the bundled model.")
def new(
    secrets_file: Path,
    manifest_file: Path,
    count: int,
    tokens: int,
    prompt_tokens: int,
    merge: bool,
    engine: EngineKind,
    variant: str,
    weights: Path | None,
) -> None:
    """Make secret triggers, and commit to their answers in a manifest file.

    The model writes the prompts and answers them greedily. Only its owner can read SECRETS. Anyone who has it can test
    peers with it; a tested peer can learn its trigger. 'network new --manifest' takes the manifest.
    """
    from p2pverify.engine.registry import EngineOpening, open_engine
    from p2pverify.node.files.canaries import answer_trigger, load_secrets, make_trigger

    triggers: tuple[Trigger, ...] = ()
    if merge:
        triggers = load_secrets(secrets_file)
    else:
        check_output(secrets_file)
    check_output(manifest_file, always)
    with Progress() as progress:
        opened = open_engine(engine, EngineOpening(weights=weights, variant=variant, progress=progress))
        try:
            kept = starting_manifest(opened, manifest_file)
            total = len(triggers) or count
            answered = []
            for done in range(total):
                progress("answering triggers", done, total)
                trigger = (
                    triggers[done] if merge else make_trigger(opened, prompt_tokens=prompt_tokens, tokens_max=tokens)
                )
                answered.append(answer_trigger(opened, trigger))
        except ValueError as error:
            raise CliError(str(error), "take the engine, variant and weights that the triggers are for") from None
        finally:
            opened.close()
    _keep(secrets_file, manifest_file, kept, tuple(answered))


def _keep(secrets_file: Path, manifest_file: Path, manifest: "Manifest", triggers: "tuple[Trigger, ...]") -> None:
    """Write the secrets, then the commitments. Writes neither if the manifest would become too large."""
    from p2pverify.core.contract.manifest import decode_manifest
    from p2pverify.core.errors import DecodeError
    from p2pverify.node.files.canaries import committed, save_secrets
    from p2pverify.node.files.manifestfile import save_manifest

    made = committed(manifest, triggers)
    try:
        decode_manifest(made.encode())
        save_secrets(secrets_file, triggers)
        save_manifest(manifest_file, made)
    except (DecodeError, ValueError) as error:
        raise CliError(f"these triggers do not fit: {error}", "make fewer with --count") from None
    click.echo(f"{secrets_file} has {len(triggers)} triggers: keep it secret", err=True)
    click.echo(f"{manifest_file} commits to {len(made.canaries)}", err=True)


@canary.command()
@click.argument("secrets_file", metavar="SECRETS", type=SECRETS_FILE)
@network_option
@click.option(
    "--give", type=click.IntRange(1), metavar="NUMBER", help="Hand one out: write it to FILE, and mark it as spent."
)
@click.option("-o", "--output", type=_file, metavar="FILE", help="Where --give writes.")
@json_option
def show(secrets_file: Path, network_file: Path | None, give: int | None, output: Path | None, as_json: bool) -> None:
    """List the triggers in a file of secrets, or hand one out.

    With --network each trigger is compared with the commitments in the network's manifests. Do this with triggers that
    you buy.
    """
    from p2pverify.node.files.canaries import load_secrets
    from p2pverify.node.files.networkfile import load_network

    triggers = load_secrets(secrets_file)
    if give is not None:
        _give(secrets_file, triggers, give, output)
        return
    manifests = None if network_file is None else load_network(network_file)[1]
    rows = [_row(number, trigger, manifests) for number, trigger in enumerate(triggers, 1)]
    if as_json:
        click.echo(json.dumps({"schema": _LIST_SCHEMA, "triggers": rows}))
        return
    shown = [
        (
            row["number"],
            row["canary"][:_HASH_CHARS],
            row["prompt_tokens"],
            row["tokens_max"],
            ", ".join(path for _, path in row["paths"]),
            "spent" if row["spent"] else "fresh",
            row["commitment"],
        )
        for row in rows
    ]
    click.echo(table(("NUMBER", "CANARY", "PROMPT", "ANSWER", "PATHS", "STATE", "COMMITMENT"), shown))


def _row(number: int, trigger: "Trigger", manifests: "tuple[Manifest, ...] | None") -> dict[str, Any]:
    """The public fields of a trigger: neither its prompt nor its answers."""
    return {
        "number": number,
        "canary": trigger.commitment.hex(),
        "prompt_tokens": len(trigger.prompt),
        "tokens_max": trigger.tokens_max,
        "paths": [[reply.engine, reply.numeric_path] for reply in trigger.replies],
        "spent": trigger.is_spent,
        "commitment": "not checked" if manifests is None else _commitment(trigger, manifests),
    }


def _commitment(trigger: "Trigger", manifests: "tuple[Manifest, ...]") -> str:
    from p2pverify.core.errors import DecodeError
    from p2pverify.core.inference.canary import find_canary, opened_paths

    found = find_canary(manifests, trigger)
    if found is None:
        return "none"
    try:
        return f"{len(opened_paths(found[1], trigger))} of {len(found[1].answers)} answers"
    except DecodeError as error:
        return f"broken: {error.reason}"


def _give(secrets_file: Path, triggers: "tuple[Trigger, ...]", number: int, output: Path | None) -> None:
    from p2pverify.node.files.canaries import save_secrets

    if output is None:
        raise click.UsageError("--give needs -o FILE")
    check_output(output)
    place = choose_fresh(triggers, number)
    save_secrets(secrets_file, with_spent(triggers, triggers[place]))
    save_secrets(output, (triggers[place],))
    click.echo(f"{output} has trigger {number}; it is marked as spent in {secrets_file}", err=True)


@canary.command()
@click.argument("evidence_file", metavar="EVIDENCE", type=InputFile("'p2pverify model canary ask' writes such files"))
@network_option
@json_option
def check(evidence_file: Path, network_file: Path | None, as_json: bool) -> None:
    """Verify the evidence of a trigger offline, without the model.

    The evidence is compared with the network's manifest: commitments, signatures, and whether the receipt is for the
    answer. The exit code is 0 if the evidence is valid, whatever it shows, and 5 if it proves nothing.
    """
    from p2pverify.core.errors import DecodeError
    from p2pverify.core.inference.canary import judge_evidence
    from p2pverify.node.files.canaries import load_evidence
    from p2pverify.node.files.networkfile import load_network

    network, manifests = load_network(network_file or current_home().network_path)
    evidence = load_evidence(evidence_file)
    try:
        finding = judge_evidence(network, manifests, evidence)
    except DecodeError as error:
        raise NotVerifiedError(
            f"this proves nothing: {error.reason}", "check that --network is the right one"
        ) from None
    print_finding(finding, as_json=as_json)
