"""The engines of a node: its own, which may lie, and the referee."""

from dataclasses import replace
from pathlib import Path

import pytest

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Ask
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.events import OWN
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.engines import Engines, EngineSettings
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.registry import EngineOpening, open_engine
from p2pverify.engine.toy import REFEREE, REFEREE_PATH, ToyEngine
from p2pverify.node.engines.refusals import ModelUnavailable
from p2pverify.node.files.networkfile import manifest_of, new_network

GARBAGE = CheatSpec("garbage")


def judged_by(referee: str, folder: Path, variant: str = "", cheat: CheatSpec | None = None) -> Engines:
    """The engines of a node in a network with a referee."""
    network, manifests = new_network("judged", [public_key(bytes(32))], ToyEngine().info, epoch_ms=300)
    return Engines(
        EngineSettings("toy", EngineOpening(variant=variant), cheat),
        replace(network, referee=referee),
        manifests,
        folder,
    )


def test_the_referee_is_another_engine_and_honest(tmp_path: Path) -> None:
    """It is opened by need, over the same model, and does not lie where the node's own engine does."""
    engines = judged_by(REFEREE, tmp_path, "toy/a", GARBAGE)
    referee = engines.open_referee()
    assert (referee.info.engine, referee.info.numeric_path) == (REFEREE, REFEREE_PATH)
    assert referee.info.weights_sha256 == engines.honest.info.weights_sha256
    question = Ask(referee.write_prompt(bytes(16), 8), 8, 0, bytes(32))
    assert referee.answer(question).output.tokens == ToyEngine().answer(question).output.tokens
    assert engines.own.answer(question).output.tokens != referee.answer(question).output.tokens
    engines.close()


def test_a_node_that_serves_with_the_referee_has_one_engine(tmp_path: Path) -> None:
    """Its memory is needed once, also if it lies as a responder."""
    engines = judged_by(REFEREE, tmp_path, REFEREE_PATH, GARBAGE)
    assert engines.open_referee() is engines.honest
    assert engines.own is not engines.honest
    engines.close()


def test_a_referee_that_there_is_not_is_an_error_of_its_own(tmp_path: Path) -> None:
    """The node can serve without it; only what needs the referee fails."""
    engines = judged_by("oracle/3", tmp_path)
    with pytest.raises(EngineUnavailable, match="no referee 'oracle/3'"):
        engines.open_referee()
    engines.close()


def test_a_stale_node_claims_to_have_every_version(tmp_path: Path) -> None:
    """It finds weights for any version and answers with those of the first. An honest node finds none."""
    file = tmp_path / "later"
    file.write_bytes(b"other weights")
    later = Engines(EngineSettings("toy", EngineOpening(weights=file)), *toy_network(file), tmp_path)
    manifest = manifest_of(later.honest.info)
    question = Ask(later.honest.write_prompt(bytes(16), 8), 8, 0, bytes(32))

    stale = judged_by("", tmp_path, cheat=CheatSpec("stale-version"))
    path = stale.find_version(manifest)
    assert path is not None
    opened = stale.open_version(OWN, manifest, path)
    assert opened.answer(question).output == ToyEngine().answer(question).output
    assert opened.answer(question).output != later.honest.answer(question).output
    assert stale.own is stale.honest

    honest = judged_by("", tmp_path)
    assert honest.find_version(manifest) is None
    assert honest.open_version(OWN, manifest, file).answer(question).output == later.honest.answer(question).output
    file.write_bytes(b"damaged weights")
    with pytest.raises(ModelUnavailable):
        honest.open_version(OWN, manifest, file)


def toy_network(file: Path) -> tuple[Network, tuple[Manifest, ...]]:
    """A network whose model is a toy with these weights."""
    info = open_engine("toy", EngineOpening(weights=file)).info
    return new_network("other", [public_key(bytes(32))], info, epoch_ms=300)
