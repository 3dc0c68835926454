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
        url = path.read_text(encoding="utf-8").strip()
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
