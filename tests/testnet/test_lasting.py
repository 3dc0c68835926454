"""The plan of a network that lasts: who plays which part, who is there when, and whom each names as its first peers."""

from pathlib import Path

import pytest

from p2pverify.node.files.textfile import FileError
from p2pverify.testnet.cheats import parse_cheats
from p2pverify.testnet.plan import PlanError
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.processes.homes.places import Places
from p2pverify.testnet.processes.homes.writing import config_of
from p2pverify.testnet.scenario import load_scenario


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("peers", [9, 12])
def test_parts_are_of_different_honest_peers(seed: int, peers: int) -> None:
    """Newcomers are no founders, and the relay that ends is no witness."""
    plan = make_plan(load_scenario("lasting"), seed=seed, peers=peers)
    assert plan.roles is not None
    parts = [plan.roles.hidden, plan.roles.relay, plan.roles.rotating, *plan.roles.late]
    honest = [peer.name for peer in plan.honest]
    assert len(set(parts)) == 5
    assert set(parts) < set(honest)
    assert honest[0] not in parts
    assert [peer.name for peer in plan.starters] == [p.name for p in plan.peers if p.name not in plan.roles.late]
    assert {peer.name for peer in plan.founders} == {peer.name for peer in plan.starters}
    assert [peer.name for peer in plan.witnesses] == [name for name in honest if name != plan.roles.relay]
    assert [peer.name for peer in plan.peers if len(peer.keys) == 2] == [plan.roles.rotating]


def test_first_peers_stay_where_they_are() -> None:
    """Nobody begins with a peer that cannot be dialled, ends, moves or comes late, except the one behind relays."""
    plan = make_plan(load_scenario("lasting"))
    assert plan.roles is not None
    steady = [peer for peer in plan.honest if peer.name not in plan.roles]
    for peer in plan.peers:
        expected = [other for other in steady if other is not peer]
        if peer.name == plan.roles.hidden:
            expected = [plan.peer(plan.roles.relay), steady[0]]
        assert list(plan.first_peers(peer)) == expected


def test_the_hidden_peer_listens_nowhere(tmp_path: Path) -> None:
    """Its settings and its command line say so; those of others name where they listen."""
    plan = make_plan(load_scenario("lasting"))
    assert plan.roles is not None
    places = Places(plan, relayed=False)
    for peer in plan.peers:
        is_hidden = peer.name == plan.roles.hidden
        assert ("listen = []\n" in config_of(plan, peer)) is is_hidden
        arguments = places.arguments(peer, tmp_path / peer.name, tmp_path / "network.toml")
        assert ("--listen" in arguments) is not is_hidden
        given = [arguments[at + 1] for at, word in enumerate(arguments) if word == "--bootstrap"]
        assert given == [places.address(other) for other in plan.first_peers(peer)]
    assert (
        places.arguments(plan.peers[0], tmp_path, tmp_path / "n", ("/ip4/127.0.0.1/tcp/1",)).count("--bootstrap") == 1
    )


def test_too_few_honest_peers_are_refused() -> None:
    """Each part needs a peer of its own, and two need none."""
    with pytest.raises(PlanError, match="too few honest peers"):
        make_plan(load_scenario("lasting"), peers=7)
    with pytest.raises(PlanError, match="too few honest peers"):
        make_plan(load_scenario("lasting"), cheats=parse_cheats(["prune*3"]))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[lasting]\nrule = "nothing"\nvalue = 1\n', "unknown rule 'nothing'"),
        ('[lasting]\nrule = "answer_tokens"\nvalue = 12\n[upgrade]\n', "does not go with"),
        (
            '[lasting]\nrule = "answer_tokens"\nvalue = 12\n[[fault]]\nkind = "crash"\nepoch = 1\nseconds = 1\n',
            "does not go with",
        ),
    ],
)
def test_scenarios_without_sense_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    """The reason names what is wrong."""
    path = tmp_path / "odd.toml"
    path.write_text(text)
    with pytest.raises(FileError, match=reason):
        load_scenario(str(path))
