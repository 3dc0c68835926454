"""The manifest of a new version: what its file says of itself, and golden answers for the classes of its line."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.errors import CliError
from p2pverify.cli.progress import Progress

if TYPE_CHECKING:
    from p2pverify.core.contract.golden import GoldenPath
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.contract.network import Network
    from p2pverify.core.contract.output import Ask
    from p2pverify.engine.calibrate.producers import Make
    from p2pverify.node.ports import ModelInfo


def measured_manifest(
    network: "Network", line: int, weights: Path, genesis: str | None, progress: Progress
) -> "Manifest":
    """The manifest of a file of weights. `genesis` is the manifest of the line's version 0 in hexadecimal digits.

    Every class of the line that this machine can compute gets golden answers, to the questions of version 0 if the
    tokenizer is the same. The classes without them are named on stderr. Raises CliError if there is none at all.
    """
    from dataclasses import replace

    from p2pverify.core.contract.golden import Golden
    from p2pverify.core.contract.manifest import decode_manifest
    from p2pverify.engine.calibrate.producers import at_hand, open_path
    from p2pverify.engine.registry import EngineOpening, open_engine
    from p2pverify.node.engines.kinds import kind_of
    from p2pverify.node.engines.selftest import golden_questions
    from p2pverify.node.files.networkfile import manifest_of

    index = network.lines[line]
    classes = [one for one in network.classes if one.manifest == index.genesis and not one.is_any]
    wanted = {(one.engine, one.numeric_path): one.name for one in classes}
    kinds = [kind for kind in dict.fromkeys(kind_of(engine) for engine, _ in wanted) if kind not in (None, "openai")]
    if not kinds:
        raise CliError(
            "the classes of this line are computed by engines that this machine cannot open",
            "measure the model elsewhere with 'p2pverify model selftest --manifest FILE', and give --manifest FILE",
        )
    progress("opening the model", 0, 1)
    opened = open_engine(kinds[0], EngineOpening(weights=weights, progress=progress))
    try:
        info, questions = opened.info, golden_questions(opened)
    finally:
        opened.close()
    base = None if genesis is None else decode_manifest(bytes.fromhex(genesis))
    if base is not None and base.tokenizer == info.tokenizer_sha256 and base.golden.questions:
        questions = base.golden.questions
    paths: list[GoldenPath] = []
    for kind in kinds:
        assert kind is not None
        for number, name in enumerate(names := at_hand(kind)):
            progress("answering golden questions", number, len(names))
            path = _golden_path(partial(open_path, name, weights, kind), info, questions, set(wanted))
            paths += [] if path is None else [path]
    if not paths:
        raise CliError(
            f"this machine computes in none of the line's classes ({', '.join(wanted.values())})",
            "prepare the release on a machine of one of them; 'p2pverify model selftest' shows the class",
        )
    found = {(path.engine, path.numeric_path) for path in paths}
    left = [name for names, name in wanted.items() if names not in found]
    if left:
        progress.close()
        click.echo(
            f"warning: no golden answers for {', '.join(left)}: this machine cannot compute them, so peers of these "
            "classes cannot prove that they run the version; 'p2pverify model publish --help' says more of --manifest",
            err=True,
        )
    return replace(manifest_of(info), golden=Golden(questions).merged(paths))


def _golden_path(
    make: "Make",
    info: "ModelInfo",
    questions: "tuple[Ask, ...]",
    wanted: set[tuple[str, str]],
) -> "GoldenPath | None":
    """The golden answers of one path, if it is one of the wanted ones and this machine can run it."""
    from p2pverify.core.contract.golden import GoldenPath
    from p2pverify.engine.calibrate.producers import Producer
    from p2pverify.engine.errors import EngineUnavailable

    try:
        with Producer(make) as producer:
            names = (producer.info.engine, producer.info.numeric_path)
            if names not in wanted or producer.info.weights_sha256 != info.weights_sha256:
                return None
            path = GoldenPath(*names, producer.golden(questions))
    except EngineUnavailable:
        return None
    return path if all(any(answer.logits) for answer in path.answers) else None
