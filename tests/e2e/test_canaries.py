"""Canaries of the real model: a peer with this model matches to the bit, and a peer with better weights does not."""

import json
import subprocess
from pathlib import Path

import pytest

from p2pverify.core.inference.canary import decode_canary_evidence
from p2pverify.node.files.canaries import load_secrets
from p2pverify.node.files.home import Home
from tests.cli.transcript import PROGRAM, environment
from tests.support.joined import HOPELESS_S, joined


def p2pverify(home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=HOPELESS_S,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The publisher's secrets, manifest and network, and the answers to a light peer in `honest` and `cheater`."""
    made = tmp_path_factory.mktemp("canaries")
    publisher, light, network = made / "publisher", made / "light", made / "network.toml"
    done = p2pverify(
        publisher, "model", "canary", "new", made / "secrets", "--manifest", made / "model.toml", "--count", "2",
        "--tokens", "16", "--prompt-tokens", "40",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    Home(publisher).init()
    done = p2pverify(publisher, "network", "new", "--manifest", made / "model.toml", "-o", network)
    assert done.returncode == 0, done.stderr
    for name, cheat in (("honest", ()), ("cheater", ("--cheat", "quantize:q8_0"))):
        with joined(publisher if name == "honest" else made / "impostor", network, *cheat) as address:
            asked = p2pverify(
                light, "model", "canary", "ask", made / "secrets", address, "--network", network, "-o", made / name,
                "--timeout", str(HOPELESS_S), "--json",
            )  # fmt: skip
        assert asked.returncode in {0, 5}, asked.stderr
        (made / f"{name}.json").write_text(asked.stdout)
    return made


@pytest.mark.parametrize(
    ("name", "verdict", "reason"),
    [
        ("honest", "match", "tokens and logits are equal"),
        ("cheater", "mismatch", ""),
    ],
)
def test_a_light_peer_tells_them_apart(folder: Path, name: str, verdict: str, reason: str) -> None:
    """It has no weights. One opening for each is enough, even if only the logits differ."""
    document = json.loads((folder / f"{name}.json").read_text())
    assert document["verdict"] == verdict
    assert reason in document["reason"]


def test_anybody_can_check_both(folder: Path) -> None:
    """The check runs offline from the network file and the evidence, and gives the same document."""
    for name in ("honest", "cheater"):
        checked = p2pverify(
            folder / "judge", "model", "canary", "check", folder / name, "--network", folder / "network.toml", "--json"
        )
        assert checked.returncode == 0, checked.stderr
        assert json.loads(checked.stdout) == json.loads((folder / f"{name}.json").read_text())


def test_the_logits_were_committed_to(folder: Path) -> None:
    """The engine's logits are reproducible, so bits are compared, and not only tokens. Both triggers are used up."""
    triggers = load_secrets(folder / "secrets")
    assert all(any(reply.output.logits) for trigger in triggers for reply in trigger.replies)
    assert all(trigger.is_spent for trigger in triggers)
    reply = decode_canary_evidence((folder / "honest").read_bytes()).reply
    assert reply is not None
    assert any(reply.output.logits)
