"""`network new` and `network show`: the contract that all peers of a network run. `network fork` has its own module.

`core.contract.network` defines the rules, `node.files.networkfile` the format of the file.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli.errors import CliError
from p2pverify.cli.lines.founding import line_options, lines_document, lines_text, take_line_options, with_line
from p2pverify.cli.output import force_option, may_replace, wide_option
from p2pverify.cli.params import NETWORK_FILE, WEIGHTS, InputFile, engine_option
from p2pverify.cli.progress import Progress
from p2pverify.cli.rules.propose import propose
from p2pverify.cli.rules.shown import show_rules
from p2pverify.cli.rules.words import accept, approve
from p2pverify.cli.setup.fork import fork
from p2pverify.cli.setup.founding import read_founders, tell
from p2pverify.cli.setup.manifest import starting_manifest
from p2pverify.cli.setup.rules import rule_options
from p2pverify.cli.setup.shapes import check_room, cost, shapes
from p2pverify.cli.table import columns_help, pairs, table, terminal_width
from p2pverify.core.contract.classes import ACROSS_BOUNDS
from p2pverify.core.contract.network import PARAM_BOUNDS
from p2pverify.node.engines.kinds import ENGINES, FOUNDING_KINDS, EngineKind, referee_for, referee_path, referees_for
from p2pverify.node.files.outputs import check_output, is_stdout, open_output

if TYPE_CHECKING:
    from p2pverify.core.contract.classes import Across
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.contract.network import Network, Params
    from p2pverify.core.contract.pool import Pool
    from p2pverify.node.ports import ModelInfo

_FILE = "network.toml"
_CUT = ("CLASS", "ENGINE", "PATH", "ACROSS", "POOLED", "MODEL", "LICENCE", "WEIGHTS")
_MILLION = 1_000_000
_EXPLAINED = (
    "CLASS", "ENGINE", "PATH", "HONEST", "UP", "DOWN", "CONVICTS AT", "TO CONVICT", "ACROSS", "MATCH", "MISMATCH",
    "PER TOKEN", "END", "POOLED", "ABOVE", "RATE", "PAYS", "LOSES",
)  # fmt: skip


@click.group()
def network() -> None:
    """Write, fork or show a network file, or amend its rules."""


network.add_command(fork)
network.add_command(shapes)
for command in (propose, approve, accept):
    network.add_command(command)


@network.command()
@click.option("--name", default="p2pverify", show_default=True, help="The network's name.")
@click.option(
    "--founder",
    "founders",
    multiple=True,
    metavar="PEER_ID",
    help="A peer with weight from the start; may be repeated.",
)
@engine_option(FOUNDING_KINDS)
@click.option("--weights", type=WEIGHTS, help="Weights instead of the bundled model.")
@click.option(
    "--manifest",
    "manifest_file",
    type=InputFile("make it with 'p2pverify model selftest --manifest FILE'"),
    metavar="FILE",
    help="Measurements of the model by 'p2pverify model'. Default: what comes with p2pverify or from 'model add'.",
)
@click.option(
    "--also",
    "more",
    type=InputFile("make it with 'p2pverify model add FILE -o MANIFEST'"),
    multiple=True,
    metavar="MANIFEST",
    help="One more model, by its manifest; may be repeated. Each peer serves one of the models.",
)
@click.option(
    "--across",
    is_flag=True,
    help="Admit peers of other numeric paths too. A referee judges their answers: the engine that the manifest knows.",
)
@click.option(
    "--for",
    "purpose",
    type=click.Choice(("friends", "open")),
    default="open",
    show_default=True,
    help="Who may join: friends who know each other (the weight may double in 5 days), or anybody (in 8 months).",
)
@click.option(
    "--shapes",
    "shapes_file",
    type=InputFile("make it with 'p2pverify network shapes'"),
    metavar="FILE",
    help="What requests of clients look like. Audits then follow it instead of the ranges of the rules.",
)
@click.option(
    "--tariff",
    "tariff_file",
    type=InputFile("protocol/settle.md says what is in it"),
    metavar="FILE",
    help="What answers, audits, votes and training are worth. Then the network keeps accounts.",
)
@click.option("-o", "--output", default=_FILE, show_default=True, metavar="FILE", help="'-' is stdout.")
@force_option
@line_options
@rule_options
def new(
    name: str,
    founders: tuple[str, ...],
    engine: EngineKind,
    weights: Path | None,
    manifest_file: Path | None,
    more: tuple[Path, ...],
    across: bool,
    purpose: str,
    shapes_file: Path | None,
    tariff_file: Path | None,
    output: str,
    force: bool,
    **rules: Any,
) -> None:
    """Write a network file: the models, their classes, the founders and the rules.

    The founders have weight from the start: they sign cuts and decide disputes. Other peers earn weight by agreeing
    with them. Name at least four founders, so that one of them may be away, on machines that do not fail together. To
    collect their peer ids, run 'p2pverify init' on each machine. Without --founder this home's peer is the only
    founder.

    Weight grows slowly, because keys are free and patience is cheap: --for says how slowly. Two members can vouch for a
    newcomer that they know with 'p2pverify sponsor', so that it waits a quarter of the time.

    With --line, publishers can release later versions of the model: the next one is announced, then current, and the
    one before is served beside it for a while. See 'p2pverify model publish'.

    Rules that are not given have their usual values.

    The class is that of this machine, whose golden answers are computed now. With --across there is a class for every
    path with known golden answers, and one class for peers on any other path.
    """
    from p2pverify.node.files.manifestfile import load_manifest
    from p2pverify.node.files.networkfile import add_model, dump_network, new_network
    from p2pverify.node.files.networktable import usual_growth, usual_spreads, usual_tail
    from p2pverify.node.files.shapesfile import load_shapes
    from p2pverify.node.settle.tarifffile import load_tariff

    check_output(output, may_replace(force=force))
    line = take_line_options(rules)
    seen = () if shapes_file is None else load_shapes(shapes_file)
    tariff = None if tariff_file is None else load_tariff(tariff_file)
    keys = read_founders(founders)
    others = [load_manifest(file) for file in more]
    info, known = _measured(engine, weights, manifest_file)
    given: dict[str, Any] = {rule: value for rule, value in rules.items() if value is not None}
    given |= usual_spreads(given) | usual_tail(given, info.context_tokens) | usual_growth(purpose, given)
    try:
        made, manifests = new_network(
            name,
            keys,
            info,
            known=known,
            shapes=seen,
            **(_open_to_all(engine, info, known, others) if across else {}),
            **given,
        )
        for other in others:
            made, manifests = add_model(made, manifests, other)
        made = replace(with_line(made, made.classes[0].manifest, line), tariff=tariff)
    except ValueError as error:
        is_weak = "honest_ppm must be below" in str(error)
        hint = (
            "measure more answers with 'p2pverify model add --force', or give a higher --cheat-ppm" if is_weak else ""
        )
        raise CliError(
            f"these rules do not make a valid network: {error}", hint or "'p2pverify network new --help'"
        ) from None
    check_room(made.params, info.context_tokens)
    with open_output(output, may_replace(force=force)) as file:
        file.write(dump_network(made, manifests).encode())
    target = None if is_stdout(output) else Path(output)
    if target is not None:
        click.echo(f"network {made.id.hex()} in {target}")
    tell(made, target)
    if seen:
        click.echo(cost(made.params, replace(made.params, shapes=())), err=target is None)


@network.command(epilog=columns_help(*_EXPLAINED))
@click.argument("file", type=NETWORK_FILE, required=False)
@click.option("--rules", "in_force", is_flag=True, help="Show the rules in force and open amendments instead.")
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(file: Path | None, in_force: bool, wide: bool, as_json: bool) -> None:
    """Show a network file: its id, rules, classes with their sequential tests, founders.

    With --rules, the running node says which rules are in force, and who approves which amendments of them.
    """
    from p2pverify.node.files.networkfile import load_network

    if in_force:
        show_rules(None if wide else terminal_width(), as_json=as_json)
        return
    if file is None:
        raise click.MissingParameter(param_hint="'FILE'", param_type="argument")
    document = describe(*load_network(file))
    click.echo(json.dumps(document) if as_json else _text(document, None if wide else terminal_width()))


def describe(made: "Network", manifests: "tuple[Manifest, ...]") -> dict[str, Any]:
    """A network as a JSON document, with the values that follow from its rules. A forked one has no founders."""
    from p2pverify.core.encoding.peerid import peer_id

    classes = [
        {
            "name": kind.name,
            "manifest": kind.manifest.hex(),
            "engine": kind.engine,
            "numeric_path": kind.numeric_path,
            "honest_ppm": kind.honest_ppm,
            **_test(kind.honest_ppm, made.params),
            "across": _across(made, kind.across),
        }
        for kind in made.classes
    ]
    return {
        "schema": "p2pverify/network-show/1",
        "network": made.id.hex(),
        "name": made.name,
        "referee": made.referee or None,
        "origin": None if made.origin is None else {key: id_.hex() for key, id_ in asdict(made.origin).items()},
        "founders": [peer_id(key) for key in made.founders],
        "rules": {name: getattr(made.params, name) for name, _, _ in PARAM_BOUNDS},
        "shapes": [asdict(shape) for shape in made.params.shapes],
        "lines": lines_document(made),
        "tariff": None if made.tariff is None else asdict(made.tariff),
        "classes": classes,
        "manifests": [
            {"manifest": m.digest.hex(), "model": m.model, "weights": m.weights.hex(), "licence": m.licence}
            for m in manifests
        ],
    }


def _across(made: "Network", across: "Across | None") -> dict[str, Any] | None:
    """The referee's thresholds for the answers of a class, the sequential test of its verdicts, and the pooled test."""
    if across is None:
        return None
    thresholds = {name: getattr(across, name) for name, _ in ACROSS_BOUNDS}
    return {**thresholds, **_test(across.honest_ppm, made.params), "pool": _pool(across.pool, made.params)}


def _pool(pool: "Pool | None", params: "Params") -> dict[str, Any] | None:
    from p2pverify.core.inference import pooled

    if pool is None:
        return None
    return {
        "keeps_ppm": pool.keeps_ppm,
        "threshold": pooled.threshold(params.conviction_odds),
        "lines": [
            {"base": one.base, "slope": one.slope, "rate_ppm": one.rate_ppm, "pays_ppm": pool.pays_ppm(one)}
            for one in pool.lines
        ],
    }


def _test(honest_ppm: int, params: "Params") -> dict[str, int]:
    """The sequential test of a class whose honest peers dissent at this rate, in ppm."""
    from p2pverify.core.contract.odds import test_steps

    steps = test_steps(honest_ppm, params.cheat_ppm, params.conviction_odds)
    return {
        "step_up": steps.up,
        "step_down": steps.down,
        "threshold": steps.threshold,
        "dissents_to_convict": -(-steps.threshold // steps.up),
    }


def _text(document: dict[str, Any], width: int | None) -> str:
    headers = ("CLASS", "ENGINE", "PATH", "HONEST", "UP", "DOWN", "CONVICTS AT", "TO CONVICT")
    fields = (
        "name",
        "engine",
        "numeric_path",
        "honest_ppm",
        "step_up",
        "step_down",
        "threshold",
        "dissents_to_convict",
    )
    judged = tuple(name for name, _ in ACROSS_BOUNDS)
    across_headers = ("ACROSS", "MATCH", "PER TOKEN", "MISMATCH", "PER TOKEN", "END", "HONEST", "TO CONVICT")
    across_rows = [
        [kind["name"], *(kind["across"][field] for field in (*judged, "dissents_to_convict"))]
        for kind in document["classes"]
        if kind["across"] is not None
    ]
    line_headers = ("POOLED", "ABOVE", "PER TOKEN", "RATE", "PAYS", "LOSES", "CONVICTS AT")
    line_rows = [
        [
            kind["name"],
            *(line[field] for field in ("base", "slope", "rate_ppm", "pays_ppm")),
            _MILLION - kind["across"]["pool"]["keeps_ppm"],
            kind["across"]["pool"]["threshold"],
        ]
        for kind in document["classes"]
        if kind["across"] is not None and kind["across"]["pool"] is not None
        for line in kind["across"]["pool"]["lines"]
    ]
    models = [(m["model"], m["licence"], m["weights"]) for m in document["manifests"]]
    parts = [
        pairs([("network", document["network"]), ("name", document["name"]), ("referee", document["referee"])]),
        _beginning(document),
        table(headers, [[kind[field] for field in fields] for kind in document["classes"]], width=width, cut=_CUT),
        *([table(across_headers, across_rows, width=width, cut=_CUT)] if across_rows else []),
        *([table(line_headers, line_rows, width=width, cut=_CUT)] if line_rows else []),
        table(("MODEL", "LICENCE", "WEIGHTS"), models, width=width, cut=_CUT),
        *([lines_text(document["lines"])] if document["lines"] else []),
        table(("RULE", "VALUE"), document["rules"].items()),
        *([_shown(document["shapes"])] if document["shapes"] else []),
        *([table(("TARIFF", "VALUE"), document["tariff"].items())] if document["tariff"] else []),
    ]
    return "\n\n".join(parts)


def _shown(shapes: list[dict[str, int]]) -> str:
    """What owed questions look like, if the contract has a table of it."""
    rows = [
        (
            one["weight"],
            f"{one['prompt_from']}-{one['prompt_to']}",
            "open" if not one["answer_to"] else f"{one['answer_from']}-{one['answer_to']}",
            one["temperature_milli"],
        )
        for one in shapes
    ]
    return table(("SHAPE", "PROMPT TOKENS", "MAX TOKENS", "TEMPERATURE"), rows)


def _beginning(document: dict[str, Any]) -> str:
    """The founders, or the state with which a forked network begins."""
    origin = document["origin"]
    if origin is None:
        return table(("FOUNDER",), [(founder,) for founder in document["founders"]])
    names = (("network", "goes on from network"), ("cut", "at its cut"), ("state", "with the state"))
    return pairs([(title, origin[name]) for name, title in names])


def _measured(kind: EngineKind, weights: Path | None, manifest_file: Path | None) -> "tuple[ModelInfo, Manifest]":
    """The model's description of itself, and the known manifest with this machine's golden answers."""
    from p2pverify.cli.setup.model import add_answers
    from p2pverify.engine.registry import EngineOpening, open_engine
    from p2pverify.node.engines.selftest import run_selftest

    with Progress() as progress:
        engine = open_engine(kind, EngineOpening(weights=weights, progress=progress))
        try:
            known = starting_manifest(engine, manifest_file, must_exist=True)
            if ENGINES[kind].is_model:
                progress("answering golden questions", 0, 1)
            return engine.info, add_answers(known, engine.info, run_selftest(engine, [known.golden]), replace=False)
        finally:
            engine.close()


def _open_to_all(
    kind: EngineKind, info: "ModelInfo", known: "Manifest", others: "Sequence[Manifest]"
) -> dict[str, Any]:
    """The arguments of `new_network` that admit every path. The referee is one for which all manifests have thresholds.

    Raises CliError if there is none.
    """
    from p2pverify.core.contract.classes import ANY

    able = [
        one
        for one in referees_for(kind)
        if all((ANY, ANY) in manifest.bounds(one, referee_path(one)) for manifest in (known, *others))
    ]
    if not able:
        raise CliError(
            f"no manifest says how {referee_for(kind)} should judge answers of unknown paths",
            "measure that with 'p2pverify model add', or with 'p2pverify model calibrate --manifest FILE', and give "
            "FILE to --manifest",
        )
    return {
        "referee": able[0],
        "unknown": True,
        "others": known.golden.beside(info.engine, info.numeric_path),
    }
