"""An upgrade with real processes and the toy engine: the command, its report, and what is left behind."""

import json
import signal
from pathlib import Path

from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import load_network
from p2pverify.testnet.processes.upgrade.facts import VersionReader
from tests.testnet.processes.test_verdict import check_report
from tests.testnet.support import Watched, processes_of, read_until, running_testnet

RUN_S = 300  # on a busy machine; it is a tenth of this on an idle one
GRACE_S = 60


def test_a_release_an_overlap_and_a_recall(tmp_path: Path) -> None:
    """The report has what the steps came to. Every peer's records say the same of the versions."""
    kept = tmp_path / "kept"
    arguments = ["upgrade", "--engine", "toy", "--epoch-ms", "1200", "--keep", str(kept), "--json", "-"]
    with running_testnet(tmp_path / "tmp", *arguments) as process:
        out, err = process.communicate(timeout=RUN_S)
    assert process.returncode == 0, err
    document = json.loads(out)
    check_report(document)
    assert (document["verdict"], document["honest_convicted"]) == ("pass", [])
    peers = {peer["name"]: peer["cheat"] for peer in document["peers"]}
    assert [peers[name] for name in document["cheaters_convicted"]] == ["stale-version@1"]
    assert [peers[name] for name in document["dropped"]] == ["false-chunks@1"]
    upgrade = document["upgrade"]
    assert min(upgrade["audits_in_overlap"]) >= 20
    assert upgrade["audits_after_recall"][0] > 0
    assert upgrade["audits_after_recall"][1] == 0
    assert sum(upgrade["false_bytes_refused"].values()) > 0
    assert len(upgrade["files_exact"]) == 7

    network, _ = load_network(kept / "network.toml")
    for name, cheat in peers.items():
        if cheat is None:
            facts = VersionReader(network, Home(kept / name).database_path, ()).look()
            epochs = (facts.announced, facts.starts, facts.recalled)
            assert epochs == tuple(upgrade[f"{key}_epoch"] for key in ("announced", "overlap_from", "recalled"))
            assert not facts.overlap  # nobody's audits count


def test_an_interrupted_upgrade_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C while peers fetch the file ends all processes, and the temporary directory is gone."""
    temporary = tmp_path / "tmp"
    with running_testnet(temporary, "upgrade", "--engine", "toy", "--epoch-ms", "1200") as process:
        read_until(process, "version 1 is announced")
        watched = Watched(processes_of(temporary))
        assert len(watched) > 8
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=GRACE_S)
        assert process.returncode == 130
        assert watched.have_ended(GRACE_S)
    assert list(temporary.iterdir()) == []
