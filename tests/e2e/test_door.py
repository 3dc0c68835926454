"""Clients of a network of real processes: peers answer over libp2p, and the network's findings do not change."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.question import decode_request, decode_response

SCENARIO = Path(__file__).parents[2] / "testnet" / "scenarios" / "toy.toml"
HOPELESS_S = 180
ASKED = {"model": "toy", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 30, "seed": 1}


def fetch(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def apis(folder: Path) -> Iterator[str]:
    """The addresses of the peers that have started."""
    for path in sorted(folder.glob("*/api")):
        try:
            url = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:  # a testnet that starts again has removed it
            continue
        if url:
            yield url


def test_peers_answer_clients_of_each_other(tmp_path: Path) -> None:
    """Each node passes its client's question to a peer that the newest final view trusts; its receipt proves that."""
    scenario = tmp_path / "scenario.toml"
    text = SCENARIO.read_text(encoding="utf-8").replace("epochs_without_cheaters = 8", "epochs_without_cheaters = 30")
    scenario.write_text(text.replace("timeout_s = 90", f"timeout_s = {HOPELESS_S}"), encoding="utf-8")
    kept = tmp_path / "kept"
    command = [sys.executable, "-m", "p2pverify", "testnet", str(scenario), "--cheat", "none", "--keep", str(kept)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as testnet:
        asked: dict[str, Any] = {}
        deadline = time.monotonic() + HOPELESS_S
        while len(asked) < 5 and time.monotonic() < deadline and testnet.poll() is None:
            time.sleep(0.5)
            for url in set(apis(kept)) - asked.keys():
                try:
                    reply = fetch(f"{url}/v1/chat/completions", ASKED)
                    found = fetch(f"{url}/v1/receipts/{reply['p2pverify']['receipt']}")
                except OSError:  # it is starting or stopping
                    continue
                if not found["answers"][0]["own"]:
                    asked[url] = found
        assert testnet.wait(HOPELESS_S) == 0
    assert len(asked) == 5
    for found in asked.values():
        (answer,) = found["answers"]
        request, question = decode_request(bytes.fromhex(answer["request"]))
        output = decode_response(bytes.fromhex(answer["response"]), request).output
        assert peer_id(request.responder) == answer["peer_id"] != peer_id(question.requester)
        assert list(output.tokens) == answer["tokens"]
        assert answer["standing"] in {"trusted", "probation"}


def test_what_a_client_has_got_survives_a_killed_node(tmp_path: Path) -> None:
    """The node is killed as soon as a client has its answer. After a restart its receipt is there."""
    base = [sys.executable, "-m", "p2pverify", "--home", str(tmp_path / "home")]
    definition = str(tmp_path / "network.toml")
    for command in (["init"], ["network", "new", "--engine", "toy", "-o", definition]):
        subprocess.run([*base, *command], check=True, capture_output=True)
    join = [*base, "join", definition, "--alone", "--listen", "/ip4/127.0.0.1/tcp/0", "--http", "127.0.0.1:0"]
    receipts: list[str] = []
    for _ in range(3):
        with subprocess.Popen(join, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as node:
            assert node.stdout is not None
            url = json.loads(node.stdout.readline())["api"]
            for receipt in receipts:
                assert fetch(f"{url}/v1/receipts/{receipt}")["state"] == "answered"
            receipts.append(
                fetch(f"{url}/v1/chat/completions", {**ASKED, "seed": len(receipts)})["p2pverify"]["receipt"]
            )
            node.kill()
    assert len(set(receipts)) == 3
