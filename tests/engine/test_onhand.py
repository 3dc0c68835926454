"""The file of a model is found by digests: the weights of a network's model, and the tokens of any model."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.sign import public_key
from p2pverify.engine.engines import Engines, EngineSettings
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf import weights
from p2pverify.engine.language import find_language, language_of
from p2pverify.engine.onhand import weights_files
from p2pverify.engine.registry import EngineOpening
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files import manifestfile
from p2pverify.node.files.manifestfile import keep_weights
from p2pverify.node.files.networkfile import add_model, manifest_of, new_network


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's own manifests."""
    folder = tmp_path / "own"
    monkeypatch.setenv(manifestfile.ENVIRONMENT, str(folder))
    return folder


def toy(path: Path) -> ToyEngine:
    """A toy whose weights are a file, which has its name in it."""
    path.write_text(path.name)
    return ToyEngine(path.stem, weights=sha256(path.name.encode()).digest())


def network_of(*engines: ToyEngine) -> tuple[Network, tuple[Manifest, ...]]:
    """A network with a model for each engine."""
    network, manifests = new_network("n", [public_key(bytes(32))], engines[0].info, genesis_ms=1)
    for engine in engines[1:]:
        path = (engine.info.engine, engine.info.numeric_path)
        network, manifests = add_model(network, manifests, manifest_of(engine.info), paths=[path])
    return network, manifests


def opened(network: Network, manifests: tuple[Manifest, ...], folder: Path, file: Path | None = None) -> Engines:
    return Engines(EngineSettings("toy", EngineOpening(weights=file)), network, manifests, folder)


def test_a_node_runs_the_model_whose_weights_it_has(tmp_path: Path) -> None:
    """Neither file is found at first, then one, then both."""
    one, other = (toy(tmp_path / name) for name in ("one.bin", "other.bin"))
    network = network_of(one, other)
    with pytest.raises(WeightsError, match="has no weights of the network's models") as failed:
        opened(*network, tmp_path)
    assert all(f"{each.info.model} (SHA-256 {each.info.weights_sha256.hex()})" in str(failed.value)
               for each in (one, other))  # fmt: skip
    assert "model add FILE --unmeasured" in str(failed.value)
    keep_weights("other", other.info.weights_sha256, tmp_path / "other.bin")
    assert opened(*network, tmp_path).own.info.weights_sha256 == other.info.weights_sha256
    keep_weights("one", one.info.weights_sha256, tmp_path / "one.bin")
    with pytest.raises(WeightsError, match=r"several models of the network: toy .*; choose one with --weights"):
        opened(*network, tmp_path)
    assert opened(*network, tmp_path, tmp_path / "one.bin").own.info == one.info


def test_a_remembered_file_that_has_changed_is_refused(tmp_path: Path) -> None:
    """The digest in the name of a link is not taken on trust."""
    network = network_of(toy(tmp_path / "one.bin"))
    keep_weights("one", network[1][0].weights, tmp_path / "one.bin")
    (tmp_path / "one.bin").write_text("something else")
    with pytest.raises(WeightsError, match="not the expected ones"):
        opened(*network, tmp_path)


def test_the_usual_model_needs_no_file(tmp_path: Path) -> None:
    """As before there were several: the toy has no weights, and the bundled file is found by its digest."""
    network = network_of(ToyEngine())
    assert opened(*network, tmp_path).own.info == ToyEngine().info
    both = network_of(ToyEngine(), toy(tmp_path / "one.bin"))
    assert opened(*both, tmp_path).own.info == ToyEngine().info


def test_the_file_that_an_engine_runs_can_be_served(tmp_path: Path) -> None:
    """It is the one that was found or given, else the bundled one; a toy without a file has none."""
    one = toy(tmp_path / "one.bin")
    network = network_of(one)
    keep_weights("one", one.info.weights_sha256, tmp_path / "one.bin")
    (found,) = opened(*network, tmp_path).files()
    assert found.read_text() == "one.bin"
    assert opened(*network_of(ToyEngine()), tmp_path).files() == []
    assert weights_files(weights.SHA256, None) == [weights.bundled()]


def test_the_tokens_of_a_model_come_from_any_file_that_has_them(tmp_path: Path, own: Path) -> None:
    """Another quantisation has them too. A file that cannot be read is passed over."""
    from p2pverify.engine.gguf import chat_template
    from p2pverify.engine.gguf.reader import read_head

    head = read_head(weights.bundled())
    template = sha256(chat_template.template_of(head).encode()).digest()
    quantised = replace(
        manifest_of(ToyEngine().info), weights=b"\1" * 32, tokenizer=head.tokenizer_sha256(), template=template
    )
    (tmp_path / "broken.gguf").write_text("no model")
    keep_weights("broken", quantised.weights, tmp_path / "broken.gguf")
    assert find_language(quantised).vocab_tokens == 49152
    assert find_language(manifest_of(ToyEngine().info)).vocab_tokens == 256
    unknown = replace(quantised, model="mine", tokenizer=bytes(32))
    with pytest.raises(WeightsError, match=r"no file on this machine has the tokens of the model 'mine'.*model add"):
        find_language(unknown)
    with pytest.raises(WeightsError, match="has other tokens or another chat template"):
        language_of(unknown, weights.bundled())
