"""Scenario files: the packaged ones, and mistakes in a user's own."""

import pytest

from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.node.files.textfile import FileError
from p2pverify.testnet.cheats import Cheaters, parse_cheat
from p2pverify.testnet.plan import PlanError
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.scenario import load_scenario, scenario_names
from p2pverify.testnet.world import plan_world


def test_packaged_scenarios_make_plans():
    """Every packaged scenario can be played by processes or in the simulated world."""
    assert {"default", "toy"} <= set(scenario_names())
    for name in scenario_names():
        scenario = load_scenario(name)
        assert scenario.actor or make_plan(scenario).peers


def test_scenarios_of_the_simulated_world_make_plans():
    """A scenario with hostile peers that exist only in the simulated world is refused by real testnets."""
    names = [name for name in scenario_names() if load_scenario(name).actor]
    assert {"mixed", "scale"} <= set(names)
    for name in names:
        with pytest.raises(PlanError, match="simulated"):
            make_plan(load_scenario(name))
        assert plan_world(load_scenario(name), name).actors


def test_the_default_has_eight_peers_and_two_cheaters():
    """The README shows the same."""
    plan = make_plan(load_scenario())
    assert len(plan.peers) == 8
    assert sorted(peer.cheat.label for peer in plan.cheaters) == ["canned@0.333", "prune"]


def test_founders_are_honest_peers_first():
    """By default all peers are founders. A plan may have more cheaters than founders only if they take over."""
    assert make_plan(load_scenario()).founders == make_plan(load_scenario()).peers
    plan = make_plan(load_scenario("takeover"))
    assert plan.takes_over
    assert plan.founders == plan.honest
    assert len(plan.cheaters) > len(plan.founders)
    world = plan_world(load_scenario("takeover"), "takeover")
    assert (world.founders, [(actor.kind, actor.count) for actor in world.actors]) == (4, [("takeover", 5)])
    with pytest.raises(PlanError, match="4 founders are more than 3 peers"):
        make_plan(load_scenario("takeover"), peers=3, cheats=())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("peers = 8", "peers"),
        ("[testnet]\npeer = 8", "did you mean 'peers'"),
        ("[testnet]\npeers = 1", "testnet.peers"),
        ("[testnet]\npeers = 8.5", "testnet.peers"),
        ("[testnet]\ntimeout_s = 0", "testnet.timeout_s"),
        ("[testnet]\ntimeout_s = nan", "testnet.timeout_s"),
        ('[testnet]\nengine = "gpt"', "testnet.engine"),
        ('[testnet]\nengine = "openai"', "'testnet.engine': Input should be 'llama', 'exact', 'toy' or 'tabular'"),
        ("[testnet]\nengine = []", "testnet.engine"),
        ("[network]\nepoch = 5", "did you mean 'epoch_ms'"),
        ("[network]\nepoch_ms = 1", "not from 200"),
        ("[network]\ngenesis_ms = 1", "unknown rule 'genesis_ms'"),
        ('[network]\nepoch_ms = "5"', "network.epoch_ms"),
        ('[[cheat]]\nkind = "lazy"', "no kind of cheater 'lazy'"),
        ('[[cheat]]\nkind = "prune"\nrate = 2', "rate 2"),
        ('[[cheat]]\nkind = "prune"\ncount = 0', "count"),
        ("[[cheat]]\nrate = 1", "kind"),
        ('[[cheat]]\nkind = "quantize:q4_0@0.3"', "'quantize:q4_0@0.3@1' is not KIND"),
        ('[[cheat]]\nkind = "other-model:/my models/x.gguf"', "is not KIND"),
        ('[[cheat]]\nkind = "prune"\nrate = 0.00001', "'prune@1e-05' is not KIND"),
        ("[testnet\n", "is not TOML"),
        ("a = " + "[" * 5000, "n"),
        ("#" * 70_000, "longer than 65536 bytes"),
    ],
)
def test_faults_are_named(tmp_path, text, named):
    """A scenario with a mistake is refused with the key and a hint."""
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(FileError) as caught:
        load_scenario(str(path))
    assert named in str(caught.value)
    assert caught.value.hint


def test_a_name_that_is_nothing(tmp_path):
    """If the name is no file and no packaged scenario, the hint lists the packaged ones. Bytes that are no text are
    reported."""
    with pytest.raises(FileError) as caught:
        load_scenario(str(tmp_path / "absent.toml"))
    assert "default" in caught.value.hint
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="not UTF-8"):
        load_scenario(str(tmp_path / "bytes.toml"))


def test_the_seed_decides_who_is_who():
    """Equal seeds give equal identities and cheaters. Another seed gives others."""
    one, again, other = (make_plan(load_scenario(), seed=seed) for seed in (7, 7, 8))
    assert one == again
    assert {peer.key for peer in one.peers}.isdisjoint(peer.key for peer in other.peers)
    chosen = {tuple(p.name for p in make_plan(load_scenario(), seed=seed).cheaters) for seed in range(20)}
    assert len(chosen) > 5


def test_more_peers_get_more_time():
    """The timeout grows with the number of peers, unless it is given. The machine decides the length of epochs."""
    usual, crowd = make_plan(load_scenario()), make_plan(load_scenario(), peers=12)
    assert crowd.epoch_ms == usual.epoch_ms
    assert crowd.timeout_s == usual.timeout_s * 1.5
    assert make_plan(load_scenario(), peers=5).timeout_s == usual.timeout_s
    given = make_plan(load_scenario(), peers=12, epoch_ms=5000, timeout_s=50)
    assert (given.epoch_ms, given.timeout_s) == (5000, 50)


def test_longer_epochs_move_faults_and_the_timeout():
    """A fault begins with its epoch and lasts as long as before. A given timeout does not change."""
    plan = make_plan(load_scenario("survival"))
    longer = plan.with_epochs(2 * plan.epoch_ms)
    assert (longer.epoch_ms, longer.timeout_s) == (2 * plan.epoch_ms, 2 * plan.timeout_s)
    assert longer.peers == plan.peers
    for before, after in zip(plan.faults, longer.faults, strict=True):
        assert (after.kind, after.begins_ms) == (before.kind, 2 * before.begins_ms)
        assert after.ends_ms - after.begins_ms == before.ends_ms - before.begins_ms
    assert make_plan(load_scenario(), timeout_s=50).with_epochs(60_000).timeout_s == 50


def test_how_many_may_cheat():
    """Half of the peers or more is refused, and more than a third gives a warning."""
    prune = {count: [Cheaters(CheatSpec("prune"), count)] for count in (4, 5, 6)}
    with pytest.raises(PlanError, match="half or more"):
        make_plan(load_scenario(), peers=12, cheats=prune[6])
    assert "more than a third" in make_plan(load_scenario(), peers=12, cheats=prune[5]).warnings[0]
    assert make_plan(load_scenario(), peers=12, cheats=prune[4]).warnings == ()
    with pytest.raises(PlanError, match="not from 2 to 64"):
        make_plan(load_scenario(), peers=65)


def test_peers_take_paths_in_turn():
    """The scenario gives the number of peers of each path. More peers start from the first path again. Another engine
    has no paths."""
    plan = make_plan(load_scenario("paths"))
    paths = [(peer.path.engine, peer.path.variant) for peer in plan.peers]
    assert [paths.count(path) for path in dict.fromkeys(paths)] == [2, 2, 2, 2]
    assert len(plan.cheaters) == 2
    assert (plan.referee, plan.has_paths) == ("exact/1", True)
    more = make_plan(load_scenario("paths"), peers=10)
    assert [more.peers[index].path for index in (8, 9)] == [plan.peers[index].path for index in (0, 1)]
    toys = make_plan(load_scenario("paths"), engine="toy")
    assert ({peer.path.engine for peer in toys.peers}, toys.has_paths) == ({"toy"}, False)


def test_paths_and_thresholds_are_checked(tmp_path):
    """Unknown engines, variants that are no text, and incomplete thresholds are reported."""
    path = tmp_path / "bad.toml"
    for text, named in (
        ('[[path]]\nengine = "gpt"', "path[1].engine"),
        ("[[path]]\nvariant = 5", "path[1].variant"),
        ("[[path]]\ncount = 0", "path[1].count"),
        ("[across]\nmatch_base = 1", "across.match_slope"),
        ("[across]\nmatch_base = -1", "across.match_base"),
    ):
        path.write_text(text)
        with pytest.raises(FileError) as caught:
            load_scenario(str(path))
        assert named in str(caught.value)


def test_a_cheat_in_long_answers_needs_long_audits():
    """Without them it is right in all audits, so the run would never end."""
    cheats = [parse_cheat("long-only")]
    assert make_plan(load_scenario("toy"), cheats=cheats).cheaters
    with pytest.raises(PlanError, match="no audit of this network is long"):
        make_plan(load_scenario("hardware"), cheats=cheats)


@pytest.mark.parametrize("kind", ["stale-version", "false-chunks"])
def test_cheats_with_versions_need_a_second_version(kind):
    """Without one they do nothing wrong. With one, half of the peers move late."""
    with pytest.raises(PlanError, match="no second version"):
        make_plan(load_scenario("toy"), cheats=[parse_cheat(kind)])
    plan = make_plan(load_scenario("upgrade"), cheats=[parse_cheat(kind)])
    assert len(plan.late) == 4
    assert make_plan(load_scenario("toy")).late == ()


def test_an_upgrade_in_the_simulated_world():
    """Its model is released and recalled, too. There are no files in that world, so nobody serves false ones."""
    world = plan_world(load_scenario("upgrade"), "upgrade")
    assert [(actor.kind, actor.count) for actor in world.actors] == [("stale-version", 1)]
    assert [upgrade.what for upgrade in world.upgrades] == ["release", "recall"]
    assert world.line_epochs == (3, 24, 1)
