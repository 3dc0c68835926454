"""The determinism classes in a testnet's network file, one for each numeric path of its peers."""

from typing import Any, cast

from p2pverify.engine import toy
from p2pverify.node.files.manifestfile import known_manifest
from p2pverify.node.files.networkfile import new_network
from p2pverify.testnet.classes import find_classes
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.scenario import load_scenario


def test_paths_of_a_real_model_come_from_its_manifest():
    """There is a class for each of the four paths. Each has golden answers and is judged by the referee."""
    plan = make_plan(load_scenario("paths"))
    (classes,) = find_classes(plan)
    assert classes.known == known_manifest(classes.info)
    network, (manifest,) = new_network(
        "n",
        [peer.key for peer in plan.peers],
        classes.info,
        known=classes.known,
        others=classes.others,
        referee=plan.referee,
        across=plan.across,
        genesis_ms=1,
        **cast("dict[str, Any]", plan.rules),
    )
    paths = {c.numeric_path for c in network.classes}
    avx2, sse = "x86-64-avx2/fa1/kv-{}", "x86-64-sse3/fa1/kv-q8_0"
    assert {avx2.format("q8_0"), avx2.format("f16"), sse, "integer"} <= paths
    proofs = [manifest.golden.of(c.engine, c.numeric_path) for c in network.classes]
    assert len({proof.answers for proof in proofs}) == len(network.classes)
    assert all(c.across is not None for c in network.classes)


def test_toys_are_asked_directly():
    """The paths of toy engines are the network's classes, without golden answers."""
    plan = make_plan(load_scenario("toy-paths"))
    (classes,) = find_classes(plan)
    assert classes.known is None
    assert {(classes.info.engine, classes.info.numeric_path), *classes.others} == {
        (toy.REFEREE if peer.path.variant == toy.REFEREE_PATH else toy.ENGINE, peer.path.variant) for peer in plan.peers
    }


def test_a_testnet_on_one_path_has_one_class():
    """It needs no self-test, which would take seconds at the start."""
    (classes,) = find_classes(make_plan(load_scenario("toy")))
    assert (classes.others, classes.known) == ((), None)
