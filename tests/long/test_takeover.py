"""A majority that is bought, with real processes."""

import json
from pathlib import Path

from tests.testnet.processes.test_verdict import check_report
from tests.testnet.support import running_testnet

RUN_S = 240  # on a busy machine; it is a sixth of this on an idle one


def test_a_bought_majority_stops_the_network_and_is_left_behind(tmp_path: Path) -> None:
    """The command checks what honest peers signed and say. The report has the decisions that were computed again, and
    the network that the honest peers made with 'network fork', in which all liars are convicted.
    """
    with running_testnet(tmp_path / "tmp", "takeover", "--json", "-") as process:
        out, err = process.communicate(timeout=RUN_S)
    assert process.returncode == 0, err
    document = json.loads(out)
    check_report(document)
    assert (document["verdict"], document["honest_convicted"]) == ("pass", [])
    assert document["takeover"]["wrong_disputes"]
    assert document["takeover"]["decisions_that_agree"] > 0
    assert document["takeover"]["fork"] not in (None, document["network"])
    assert len(document["cheaters_convicted"]) == 5
