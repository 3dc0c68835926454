"""llama.cpp's own server is audited with the real model: the right weights match, another quantisation is accused.

The evidence is computed again with another BLAS kernel than the one that measured.
"""

import json
import subprocess
from pathlib import Path

from p2pverify.engine.gguf import weights
from p2pverify.engine.gguf.quantise import requantise
from tests.cli.transcript import PROGRAM, environment
from tests.support.llama_server import llama_server

HOPELESS_S = 300


def p2pverify(home: Path, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env=environment(home) | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=HOPELESS_S,
    )


def test_the_right_model_and_another_quantisation(tmp_path: Path) -> None:
    """Two servers, and few and short answers. The accusation is confirmed with another kernel."""
    cheaper = tmp_path / "q3.gguf"
    requantise(weights.bundled(), cheaper, "q3")
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    shape = ("--tokens", "20", "--prompt-tokens", "10", "--no-cause", "--json")
    with llama_server(weights.bundled(), key="secret") as url:
        done = p2pverify(
            tmp_path, "audit-endpoint", url, "-o", right, "--requests", "2", *shape, P2PVERIFY_OPENAI_KEY="secret"
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "match"
    with llama_server(cheaper) as url:
        done = p2pverify(tmp_path, "audit-endpoint", url, "-o", wrong, "--requests", "12", *shape)
    assert done.returncode == 5, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"], found["by_text"]) == ("mismatch", 0)
    assert found["judged"] == found["asked"] < 12
    done = p2pverify(tmp_path, "verify", wrong, "--json", OPENBLAS_CORETYPE="Nehalem")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["audit"]["verdict"] == "mismatch"
