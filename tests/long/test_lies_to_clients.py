"""A testnet of real processes with clients, and a peer that is honest to every auditor."""

import json
from pathlib import Path

import trio

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.treatment import Rescored
from p2pverify.node.files.home import Home
from p2pverify.store.clients.audits import StoredAudits
from tests.testnet.processes.test_verdict import check_report
from tests.testnet.support import running_testnet

RUN_S = 240


def test_reports_convict_a_peer_that_lies_to_clients_alone(tmp_path: Path) -> None:
    """The nodes of the clients find wrong answers of the liar, and of nobody else."""
    kept = tmp_path / "kept"
    with running_testnet(tmp_path / "tmp", "clients", "--json", "-", "--keep", str(kept)) as process:
        out, err = process.communicate(timeout=RUN_S)
    assert process.returncode == 0, err
    document = json.loads(out)
    check_report(document)
    assert (document["verdict"], document["honest_convicted"]) == ("pass", [])
    (liar,) = [peer for peer in document["peers"] if peer["cheat"]]
    assert document["cheaters_convicted"] == [liar["name"]]
    (node,) = liar["flags"]["nodes"]
    assert node["flagged_after_audits"] <= liar["flags"]["latest_audits"]
    audits = [
        audit
        for peer in document["peers"]
        if not peer["cheat"]
        for audit in trio.run(StoredAudits(Home(kept / peer["name"]).clients_path).all)
    ]
    wrong = [peer_id(audit.peer) for audit in audits if audit.found is Rescored.DIFFERS]
    assert len(wrong) >= 4
    assert set(wrong) == {liar["peer_id"]}
    assert any(audit.found is Rescored.AGREES and peer_id(audit.peer) == liar["peer_id"] for audit in audits)
