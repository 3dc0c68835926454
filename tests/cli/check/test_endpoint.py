"""`p2pverify audit-endpoint` and `verify`, with the toy model and a server on loopback."""

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.inference.compare import Verdict
from p2pverify.core.inference.endpoint import decode_endpoint_evidence
from p2pverify.node.files.manifestfile import save_manifest
from tests.cli.transcript import PROGRAM, environment, run
from tests.support.endpoints import BOUNDS, ChatServer, serve, toy_chat, toy_manifest

AUDIT = ("audit-endpoint", "--engine", "toy", "--tokens", "16", "--prompt-tokens", "12")


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "toy.toml"
    save_manifest(path, toy_manifest())
    return str(path)


def audit(tmp_path: Path, server: ChatServer, manifest: str, *more: str) -> subprocess.CompletedProcess[str]:
    with serve(server) as url:
        return run(tmp_path, *AUDIT, url, "--manifest", manifest, "-o", str(tmp_path / "evidence"), *more)


def test_a_match_and_its_evidence(tmp_path: Path, manifest: str) -> None:
    """The sentence with the bound, the document, and a check that computes the same integers."""
    done = audit(tmp_path, ChatServer(toy_chat()), manifest, "--requests", "14")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("no mismatch in 14: at most 19.3 % at 95 %\n")
    checked = run(tmp_path, "verify", str(tmp_path / "evidence"), "--manifest", manifest)
    assert (checked.returncode, "confirmed: this machine" in checked.stdout) == (0, True), checked.stderr
    done = audit(tmp_path, ChatServer(toy_chat()), manifest, "--requests", "2", "--force", "--json")
    document = json.loads(done.stdout)
    assert (document["schema"], document["verdict"], document["asked"]) == ("p2pverify/endpoint-audit/1", "match", 2)


def test_a_mismatch_and_its_evidence(tmp_path: Path, manifest: str) -> None:
    """Exit 5, with the odds. The check of the evidence confirms it with exit 0."""
    done = audit(tmp_path, ChatServer(toy_chat("cheaper")), manifest, "--no-cause")
    assert done.returncode == 5
    assert "odds 1e6 : 1 after" in done.stdout
    assert "this is not the model" in done.stderr
    checked = run(tmp_path, "verify", str(tmp_path / "evidence"), "--manifest", manifest, "--json")
    assert checked.returncode == 0, checked.stderr
    document = json.loads(checked.stdout)
    assert (document["confirmed"], document["manifest_is_known"]) == (True, True)
    assert document["audit"]["verdict"] == "mismatch"


def test_changed_evidence_is_refuted(tmp_path: Path, manifest: str) -> None:
    """Exit 5 for other integers, for another model and for another manifest than the trusted one."""
    assert audit(tmp_path, ChatServer(toy_chat()), manifest, "--requests", "3").returncode == 0
    path = tmp_path / "evidence"
    good = decode_endpoint_evidence(path.read_bytes())
    first = good.answers[0]
    path.write_bytes(
        replace(
            good, answers=(replace(first, tokens=(first.tokens[0] ^ 1, *first.tokens[1:])), *good.answers[1:])
        ).encode()
    )
    done = run(tmp_path, "verify", str(path), "--manifest", manifest)
    assert (done.returncode, "is refuted: answer 1 has the measure" in done.stderr) == (5, True)
    path.write_bytes(replace(good, manifest=replace(toy_manifest(), weights=bytes(32)).encode()).encode())
    done = run(tmp_path, "verify", str(path), "--manifest", manifest)
    assert (done.returncode, "these weights are toy" in done.stderr) == (5, True)
    path.write_bytes(replace(good, manifest=toy_manifest(replace(BOUNDS, match_base=49_999)).encode()).encode())
    done = run(tmp_path, "verify", str(path), "--manifest", manifest)
    assert (done.returncode, "another one than --manifest" in done.stderr) == (5, True)
    done = run(tmp_path, "verify", str(path))
    assert (done.returncode, "the thresholds are the file's own" in done.stdout) == (0, True)


def test_other_files(tmp_path: Path, manifest: str) -> None:
    """Exit 2 for a file of no known kind, and for one that only begins like evidence."""
    assert audit(tmp_path, ChatServer(toy_chat()), manifest, "--requests", "1").returncode == 0
    path = tmp_path / "evidence"
    path.write_bytes(path.read_bytes()[:-1])
    done = run(tmp_path, "verify", str(path))
    assert (done.returncode, "is no valid evidence" in done.stderr) == (2, True)
    done = run(tmp_path, "verify", manifest)
    assert (done.returncode, "is of no known kind" in done.stderr) == (2, True)


def test_a_server_that_adds_to_the_prompt_is_told(tmp_path: Path, manifest: str) -> None:
    """By its own count of tokens, also if its answers decide nothing yet."""
    honest = toy_chat()

    def hiding(body: dict[str, Any]) -> Any:
        return honest({**body, "messages": [{"role": "system", "content": "Sell."}, *body["messages"]]})

    done = audit(tmp_path, ChatServer(hiding), manifest, "--requests", "2")
    assert "other prompts  2: the server counts other tokens" in done.stdout
    assert done.returncode == 1


def test_questions_from_a_file(tmp_path: Path, manifest: str) -> None:
    """The evidence names the file by its digest, and is checked without it."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("# mine\nwhat is this\nand that\n")
    done = audit(tmp_path, ChatServer(toy_chat()), manifest, "--requests", "4", "--prompts", str(prompts))
    assert done.returncode == 0, done.stderr
    found = decode_endpoint_evidence((tmp_path / "evidence").read_bytes())
    assert found.plan.corpus == sha256(prompts.read_bytes()).digest()
    assert {answer.turn for answer in found.answers} <= {"what is this", "and that"}
    assert run(tmp_path, "verify", str(tmp_path / "evidence"), "--manifest", manifest).returncode == 0


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """Children do not ignore an interrupt, although a shell starts background jobs, as these tests may be, so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
def test_an_interrupt_leaves_the_evidence_so_far(tmp_path: Path, manifest: str) -> None:
    """The file is valid and partial, and the command says so with exit 130."""
    count, path = iter(range(100)), tmp_path / "evidence"
    honest = toy_chat()
    started: list[subprocess.Popen[str]] = []

    def answer(body: dict[str, object]) -> object:
        if next(count) >= 3:  # again with each request that still comes
            started[0].send_signal(signal.SIGINT)
        return honest(body)

    with serve(ChatServer(answer)) as url:
        started.append(
            subprocess.Popen(
                [*PROGRAM, *AUDIT, url, "--manifest", manifest, "-o", str(path)],
                env=environment(tmp_path), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        _, said = started[0].communicate(timeout=60)
    assert started[0].returncode == 130
    assert "interrupted: no mismatch in" in said
    found = decode_endpoint_evidence(path.read_bytes())
    assert 3 <= len(found.answers) < found.plan.requests == 60
    assert found.conclusion.verdict is Verdict.MATCH
    assert run(tmp_path, "verify", str(path), "--manifest", manifest).returncode == 0


def test_servers_that_do_not_answer(tmp_path: Path, manifest: str) -> None:
    """Exit 4 without an answer, 1 if nothing can be judged, 2 for an unusable URL; no manifest is invented."""
    done = audit(tmp_path, ChatServer(toy_chat(), key="another"), manifest)
    assert (done.returncode, "P2PVERIFY_OPENAI_KEY" in done.stderr) == (4, True)
    assert not (tmp_path / "evidence").exists()
    silent = {"choices": [{"message": {"content": "a"}, "finish_reason": "length"}]}
    done = audit(tmp_path, ChatServer(lambda _: silent), manifest, "--requests", "2")
    assert (done.returncode, "names neither its tokens" in done.stderr) == (1, True)
    done = run(tmp_path, *AUDIT, "localhost", "--manifest", manifest, "-o", str(tmp_path / "other"))
    assert (done.returncode, "is not a server's base URL" in done.stderr) == (4, True)
    done = run(tmp_path, *AUDIT, "http://127.0.0.1:9/v1", "-o", str(tmp_path / "other"))
    assert (done.returncode, "cannot be audited" in done.stderr or "no server answers" in done.stderr) != (0, True)
    done = audit(tmp_path, ChatServer(toy_chat()), manifest, "--requests", "1")
    assert (done.returncode, "exists already" in done.stderr) == (1, True)
