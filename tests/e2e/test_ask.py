"""`ask` in a network of real processes: several peers answer one question, and the terminal shows what was compared."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.question import decode_request, decode_response
from tests.cli.transcript import run

SCENARIO = Path(__file__).parents[2] / "testnet" / "scenarios" / "toy.toml"
HOPELESS_S = 240


@contextmanager
def honest_testnet(folder: Path) -> Iterator[Path]:
    """A running testnet of honest peers, and the folder with their homes."""
    text = SCENARIO.read_text(encoding="utf-8").replace("epochs_without_cheaters = 8", "epochs_without_cheaters = 1000")
    scenario = folder / "scenario.toml"
    scenario.write_text(text.replace("timeout_s = 90", f"timeout_s = {2 * HOPELESS_S}"), encoding="utf-8")
    kept = folder / "kept"
    command = [sys.executable, "-m", "p2pverify", "testnet", str(scenario), "--cheat", "none", "--keep", str(kept)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield kept
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(HOPELESS_S)


def a_home(kept: Path) -> Path:
    """The home of a peer whose API answers."""
    deadline = time.monotonic() + HOPELESS_S
    while time.monotonic() < deadline:
        for path in sorted(kept.glob("*/api")):
            if path.read_text(encoding="utf-8").strip():
                return path.parent
        time.sleep(0.5)
    raise AssertionError("no peer has started")


def test_a_question_in_the_terminal(tmp_path: Path) -> None:
    """Three peers of good standing give the same answer, each with its own signed receipt; one named peer does too."""
    with honest_testnet(tmp_path) as kept:
        home, deadline = a_home(kept), time.monotonic() + HOPELESS_S
        while True:
            done = run(home, "ask", "why is the sky blue?", "--panel", "3", "--every", "1")
            if done.returncode == 0 and "answered by this node" not in done.stderr:
                break
            assert done.returncode in (0, 4, 5), done.stderr  # the peers have no standing yet
            assert time.monotonic() < deadline, done.stderr
            time.sleep(1)
        assert done.stdout.endswith("\n")
        assert "; 3 of 3 peers agree; receipt rcpt_" in done.stderr
        whole = run(home, "ask", "why is the sky blue?", "--panel", "3", "--every", "1", "--json")
        assert (whole.returncode, whole.stderr) == (0, "")
        receipt = json.loads(whole.stdout)
        other = next(one["peer_id"] for one in receipt["answers"] if not one["own"])
        named = run(home, "ask", "why is the sky blue?", "--peer", other)
        assert named.returncode == 0, named.stderr
        assert "; not compared with other peers; " in named.stderr
    peers = set()
    for answer in receipt["answers"]:
        request, question = decode_request(bytes.fromhex(answer["request"]))
        output = decode_response(bytes.fromhex(answer["response"]), request).output
        assert list(output.tokens) == answer["tokens"] == receipt["answers"][0]["tokens"]
        assert answer["own"] or request.responder != question.requester
        peers.add(peer_id(request.responder))
    assert len(peers) == 3
