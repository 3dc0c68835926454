"""Testnets with other weights: what is refused before anything runs, and the memory that they need."""

from pathlib import Path

import pytest
from gguf import GGUFWriter

from p2pverify.engine.cheats.models import pruned_layers, reversed_layers
from p2pverify.engine.gguf import weights
from p2pverify.node.engines.kinds import BUNDLED_MB, ENGINES
from p2pverify.testnet.capacity.load import memory_mb
from p2pverify.testnet.cheats import parse_cheats
from p2pverify.testnet.classes import find_classes
from p2pverify.testnet.plan import PlanError
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.scenario import Scenario, load_scenario


def gguf(path: Path, layers: int, width: int = 32) -> Path:
    """A file with a head, and too little behind it to run."""
    import numpy as np

    writer = GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((4, width), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def plan(file: Path, *cheats: str):
    return make_plan(load_scenario("default"), weights=file, cheats=parse_cheats(cheats))


@pytest.mark.parametrize(
    ("cheat", "layers", "width", "reason"),
    [
        ("prune", 3, 32, "3 layers has too few"),
        ("other-model", 3, 32, "3 layers has too few"),
        ("quantize", 30, 48, "rows of 48, which is not a multiple of 32"),
        ("quantize:q9", 30, 32, "no quantisation is called 'q9'"),
    ],
)
def test_a_cheat_that_this_model_does_not_allow_is_named(
    tmp_path: Path, cheat: str, layers: int, width: int, reason: str
):
    """The peers would end one by one otherwise, each with an error in its log."""
    with pytest.raises(PlanError, match=reason) as refused:
        find_classes(plan(gguf(tmp_path / "small.gguf", layers, width), cheat))
    assert "choose another --cheat" in refused.value.hint


def test_weights_need_a_file(tmp_path: Path):
    """A scenario and an option are checked alike."""
    with pytest.raises(PlanError, match="there are no weights to read"):
        plan(tmp_path / "absent.gguf")
    given = Scenario.model_validate({"testnet": {"weights": str(tmp_path / "absent.gguf")}})
    with pytest.raises(PlanError, match="there are no weights to read"):
        make_plan(given)
    with pytest.raises(PlanError, match="there are no weights to read"):
        make_plan(load_scenario("default"), also=[tmp_path / "absent.gguf"])


def two_toys(first: Path, second: Path, cheat: str = "prune*2"):
    return make_plan(load_scenario("toy"), weights=first, also=[second], peers=8, cheats=parse_cheats([cheat]))


def test_peers_and_cheaters_are_split_between_the_models(tmp_path: Path):
    """Each model has its own judges, so the cheaters are dealt out. One model makes the plan that it always made."""
    files = [tmp_path / name for name in ("a.bin", "b.bin")]
    for file in files:
        file.write_text(file.name)
    split = two_toys(files[0], files[1])
    assert split.models == tuple(files)
    assert [peer.weights for peer in split.peers] == files * 4
    assert {peer.weights for peer in split.cheaters} == set(files)
    one, two = find_classes(split)
    assert (one.info.model, two.info.model) == ("toy (a)", "toy (b)")
    assert one.info.weights_sha256 != two.info.weights_sha256
    with pytest.raises(PlanError, match="4 peers with one model are half or more"):
        two_toys(files[0], files[1], cheat="prune*4")
    with pytest.raises(PlanError, match="is named twice"):
        two_toys(files[0], files[0])
    files[1].write_text("a.bin")
    with pytest.raises(PlanError, match="the same model"):
        find_classes(two_toys(files[0], files[1]))
    bundled = make_plan(load_scenario("default"), also=[gguf(tmp_path / "more.gguf", 30)])
    assert [None if path is None else path.name for path in bundled.models] == [weights.FILE, "more.gguf"]
    paths = make_plan(load_scenario("toy-paths"), weights=files[0], also=files[1:], peers=14, cheats=())
    given = [peer.path for peer in make_plan(load_scenario("toy-paths"), cheats=()).peers]
    assert all([peer.path for peer in paths.peers if peer.weights == file] == given for file in files)


def test_larger_weights_need_more_memory(tmp_path: Path):
    """The bundled model is the measure. A cheater has a second model, as large as the first."""
    small = gguf(tmp_path / "small.gguf", 30)
    large = tmp_path / "large.gguf"
    large.touch()
    with large.open("r+b") as file:
        file.truncate(round(10 * BUNDLED_MB * 1e6))  # sparse, so it takes no room
    bundled = make_plan(load_scenario("default"))
    assert memory_mb(plan(small), 8) == memory_mb(make_plan(load_scenario("default"), cheats=()), 8)
    more = memory_mb(make_plan(load_scenario("default"), weights=large), 8) - memory_mb(bundled, 8)
    load = ENGINES["llama"].load
    assert load is not None
    each = 9 * BUNDLED_MB * load.growth
    assert more == pytest.approx(8 * each + 2 * 9 * load.second_mb + 9 * BUNDLED_MB)


def test_a_referee_is_named_by_its_kind_or_its_id():
    """An id has the version of a library in it, which no scenario should repeat."""
    for name, engine in (("llama", ENGINES["llama"].referee), ("exact", "exact/1"), ("exact/1", "exact/1"), ("", "")):
        scenario = Scenario.model_validate({"testnet": {"referee": name}})
        assert make_plan(scenario).referee == engine


def test_the_layers_of_a_cheat_are_in_proportion():
    """Those of the bundled model stay what they were measured with."""
    assert (pruned_layers(30), reversed_layers(30)) == (range(13, 19), range(10, 20))
    assert (pruned_layers(18), reversed_layers(18)) == (range(7, 11), range(6, 12))
    with pytest.raises(ValueError, match="too few"):
        pruned_layers(5)
