"""A testnet of real processes on different numeric paths, judged by a referee."""

import json

from tests.testnet.processes.test_verdict import check_report
from tests.testnet.support import running_testnet

RUN_S = 120


def test_a_cheater_among_unlike_paths_is_found_by_the_referee(tmp_path):
    """Seven dissents across classes convict the cheater. No honest peer of any path is convicted or suspect."""
    with running_testnet(tmp_path / "tmp", "toy-paths", "--json", "-", "--keep", str(tmp_path / "kept")) as process:
        out, err = process.communicate(timeout=RUN_S)
    assert process.returncode == 0, err
    document = json.loads(out)
    check_report(document)
    assert document["verdict"] == "pass"
    (liar,) = [peer for peer in document["peers"] if peer["cheat"]]
    assert document["cheaters_convicted"] == [liar["name"]]
    assert document["honest_convicted"] == []
    assert liar["convicted_after_audits"] >= 7
    network = (tmp_path / "kept" / "network.toml").read_text()
    assert network.count("[[class]]") == 4
    assert 'referee = "toy-exact/1"' in network
