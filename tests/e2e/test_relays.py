"""Members that listen nowhere, in a network of real processes with two relays, one of which is killed."""

import json
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, new_network
from tests.api.fakes import request
from tests.cli.transcript import run
from tests.support.joined import joined

EPOCH_MS = 3000
EPOCHS = 20
HOPELESS_S = 400
NAMES = ("relay 1", "relay 2", "hidden", "asker")


def _document(home: Path, *command: str) -> dict[str, Any]:
    done = run(home, *command, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _wait(what: str, home: Path, command: str, holds: Any) -> dict[str, Any]:
    """The first document of a command for which `holds` is true."""
    deadline = time.monotonic() + HOPELESS_S
    while not holds(found := _document(home, command)):
        assert time.monotonic() < deadline, f"{what}: {json.dumps(found)[:2000]}"
        time.sleep(0.5)
    return found


def _figure(home: Path, event: str) -> float:
    """A counter of the network adapter, from the node's metrics; 0 if nothing was counted."""
    url = Home(home).read_api()
    assert url is not None
    port = urlsplit(url).port
    assert port is not None
    text = request(port, "/metrics").body.decode()
    return sum(
        map(float, re.findall(rf'^p2pverify_events_total{{event="{event}",part="net"}} (.+)$', text, re.MULTILINE))
    )


def test_a_member_that_never_listens_keeps_its_availability(tmp_path: Path) -> None:
    """Two members listen nowhere, so that each audits the other through relays only. One relay is killed half way."""
    homes = {name: tmp_path / name for name in NAMES}
    keys = {}
    for name, home in homes.items():
        Home(home).init()
        keys[name] = sign.public_key(Home(home).load_identity())
    network, manifests = new_network(
        "relayed",
        tuple(sorted(keys.values())),
        ToyEngine().info,
        genesis_ms=int(time.time() * 1000),
        epoch_ms=EPOCH_MS,
        slots_milli=2000,
        panel_size=1,
        spot_check_permille=0,
    )
    path = tmp_path / "network.toml"
    path.write_text(dump_network(network, manifests))
    with ExitStack() as stack, ExitStack() as doomed:
        toy = ("--engine", "toy", "--no-mdns")
        first = doomed.enter_context(joined(homes["relay 1"], path, *toy))
        second = stack.enter_context(joined(homes["relay 2"], path, *toy, "--bootstrap", first))
        both = ("--bootstrap", first, "--bootstrap", second)
        for name in ("hidden", "asker"):
            stack.enter_context(joined(homes[name], path, *toy, *both, listens=False))
        for name in ("hidden", "asker"):
            reach = _wait("two relays", homes[name], "status", lambda found: len(found["reach"]["relays"]) == 2)
            assert (reach["reach"]["state"], reach["neighbours"]) == ("relayed", 2)
            assert "it listens nowhere, and 2 relays take its connections" in reach["reach"]["why"]
        began = _document(homes["hidden"], "status")["epoch"]
        _wait("half of the epochs", homes["hidden"], "status", lambda found: found["epoch"] >= began + EPOCHS // 2)
        doomed.close()  # the first relay ends
        left = _wait("one relay", homes["hidden"], "status", lambda found: len(found["reach"]["relays"]) == 1)
        assert second in left["reach"]["relays"][0]
        _wait("all epochs", homes["hidden"], "status", lambda found: found["epoch"] >= began + EPOCHS + 2)
        scores = _document(homes["relay 2"], "scores")["scores"]
        audits = {row["peer_id"]: row for row in scores}
        for name in ("hidden", "asker"):
            row = audits[peer_id(keys[name])]
            assert row["availability"] >= 0.9, row
            assert row["audits"] >= EPOCHS / 2, row
        assert _figure(homes["relay 2"], "relay_circuits") > 0
        assert _figure(homes["asker"], "circuits_opened") + _figure(homes["hidden"], "circuits_opened") > 0
        assert _document(homes["asker"], "status")["reach"]["state"] == "relayed"
