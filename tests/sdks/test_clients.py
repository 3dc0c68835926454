"""Each client gets the text that a plain HTTP request gets, streamed or not, and a receipt that the node keeps."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import npm

PROGRAMS = Path(__file__).parent / "programs"
WAIT_S = 600  # registries can be slow
ASKED = {
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a colour."}],
    "seed": 7,
    "temperature": 0.8,
    "max_tokens": 24,
}
#: Programs in Python, and the packages that they need.
PYTHON = {
    "openai_python.py": ["openai==3.52.0"],
    "litellm_sdk.py": ["litellm==1.106.2"],
    "langchain.py": ["langchain-openai==1.7.4"],
    "llm_plugin.py": ["llm==0.36"],
}


@dataclass
class RunningNode:
    """A node with the real model that is the only member of its network."""

    url: str
    model: str = ""

    def fetch(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folder = tmp_path_factory.mktemp("clients")
    command = [sys.executable, "-m", "p2pverify", "--home", str(folder / "home")]
    subprocess.run([*command, "init"], check=True, capture_output=True)
    definition = str(folder / "network.toml")
    subprocess.run([*command, "network", "new", "-o", definition], check=True, capture_output=True)
    join = [*command, "join", definition, "--alone", "--listen", "/ip4/127.0.0.1/tcp/0", "--http", "127.0.0.1:0"]
    with subprocess.Popen(join, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = RunningNode(json.loads(process.stdout.readline())["api"] + "/v1")
        found.model = found.fetch("/models")["data"][0]["id"]
        yield found
        process.terminate()


def check(node: RunningNode, told: dict[str, object]) -> None:
    """Compare what a client got with the answer to a plain request."""
    plain = node.fetch("/chat/completions", {**ASKED, "model": node.model})
    text = plain["choices"][0]["message"]["content"]
    assert text.strip()
    assert (str(told["text"]).strip(), str(told["streamed"]).strip()) == (text.strip(), text.strip())
    receipts = {str(told[name]) for name in ("receipt", "header", "last_chunk") if name in told}
    assert receipts
    for receipt in receipts:
        assert node.fetch(f"/receipts/{receipt}")["state"] == "answered"


@pytest.mark.parametrize("program", PYTHON)
def test_a_python_client(node: RunningNode, program: str) -> None:
    """It runs as its users run it, in an environment of its own."""
    uv = shutil.which("uv")
    assert uv is not None, "these tests need uv: pip install uv"
    needs = [part for package in PYTHON[program] for part in ("--with", package)]
    command = [uv, "run", "--no-project", "--isolated", "--python", sys.executable, *needs]
    done = subprocess.run(
        [*command, "python", str(PROGRAMS / program), node.url, node.model],
        capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    check(node, told)
    if program == "openai_python.py":
        assert told["models"] == [node.model]
        assert told["param"] == "top_p"
        assert told["receipt"] == told["header"]
        assert told["completion"]
        assert told["refused"] == ["no_majority"] * 2
        assert told["retries"] == ["0"] * 2  # an answer of one peer would have hidden the finding


def test_openai_node(node: RunningNode) -> None:
    """It sees the receipt in the body, in the header and in the last chunk."""
    folder = npm.packages(PROGRAMS / "package.json")
    script = shutil.copy(PROGRAMS / "openai_node.mjs", folder)
    done = subprocess.run(
        [*npm.node(), str(script), node.url, node.model], capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    check(node, told)
    assert told["receipt"] == told["header"]
