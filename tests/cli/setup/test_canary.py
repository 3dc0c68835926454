"""`model canary`: triggers are made, listed, handed out and put to real nodes, and others check the evidence."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from p2pverify.core.contract.output import Output
from p2pverify.engine import toy
from p2pverify.node.files.canaries import load_secrets, save_secrets
from p2pverify.node.files.home import Home
from p2pverify.node.files.manifestfile import load_manifest
from tests.cli.transcript import run
from tests.support.joined import joined

CANARY = ("model", "canary")
NOBODY = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWEG1ffNg9VHg86sLtVuyEAxupD5VHaAHjmcBoknxR3jvW"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Secrets with answers on two paths, the manifest with their commitments, and a network with this manifest."""
    made = tmp_path_factory.mktemp("canary")
    new = (*CANARY, "new", str(made / "secrets"), "--manifest", str(made / "toy.toml"), "--engine", "toy")
    for more in (("--count", "6", "--tokens", "12"), ("--variant", "toy/b", "--merge")):
        done = run(made, *new, *more)
        assert done.returncode == 0, done.stderr
    Home(made / "founder").init()
    done = run(
        made / "founder", "network", "new", "--engine", "toy", "--manifest", str(made / "toy.toml"),
        "-o", str(made / "n.toml"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def honest(folder: Path) -> Iterator[str]:
    with joined(folder / "founder", folder / "n.toml", "--engine", "toy", "--alone") as address:
        yield address


@pytest.fixture(scope="module")
def cheater(folder: Path) -> Iterator[str]:
    with joined(folder / "cheater", folder / "n.toml", "--engine", "toy", "--cheat", "canned") as address:
        yield address


@pytest.fixture
def secrets(folder: Path, tmp_path: Path) -> Path:
    """A test's own copy of the secrets, all of them unused."""
    copy = tmp_path / "secrets"
    save_secrets(copy, load_secrets(folder / "secrets"))
    return copy


def ask(tmp_path: Path, folder: Path, secrets: Path, address: str, *more: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr. The evidence is written to `tmp_path`."""
    place = ("--network", str(folder / "n.toml"), "-o", str(tmp_path / "evidence"))
    done = run(tmp_path / "home", *CANARY, "ask", str(secrets), address, *place, *more)
    return done.returncode, done.stdout, done.stderr


def check(tmp_path: Path, network: Path, *more: str) -> tuple[int, str, str]:
    done = run(tmp_path, *CANARY, "check", str(tmp_path / "evidence"), "--network", str(network), *more)
    return done.returncode, done.stdout, done.stderr


def test_the_manifest_commits_to_what_the_secrets_hold(folder: Path) -> None:
    """There is one canary for each trigger, with an answer for each path. Only the owner can read the secrets."""
    triggers = load_secrets(folder / "secrets")
    canaries = load_manifest(folder / "toy.toml").canaries
    assert {canary.prompt: canary for canary in canaries} == {t.commitment: t.canary() for t in triggers}
    assert [a.numeric_path for a in canaries[0].answers] == [toy.PATH, "toy/b"]
    assert len({trigger.prompt for trigger in triggers}) == len(triggers) == 6
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o600
    text = (folder / "toy.toml").read_text() + (folder / "n.toml").read_text()
    assert not any(str(list(trigger.prompt)) in text for trigger in triggers)


def test_an_honest_peer_matches_and_anyone_can_check(folder: Path, honest: str, secrets: Path, tmp_path: Path) -> None:
    """The asker has no model, and the checker has no secrets. The trigger is used up afterwards."""
    code, printed, _ = ask(tmp_path, folder, secrets, honest, "--json")
    document = json.loads(printed)
    assert (code, document["verdict"], document["reason"]) == (0, "match", "tokens and logits are equal")
    assert honest.endswith(document["responder"])
    code, printed, _ = check(tmp_path, folder / "n.toml", "--json")
    assert (code, json.loads(printed)) == (0, document)
    assert [trigger.is_spent for trigger in load_secrets(secrets)] == [True] + [False] * 5
    (tmp_path / "again").mkdir()
    code, _, errors = ask(tmp_path / "again", folder, secrets, honest, "--number", "1")
    assert (code, "trigger 1 is spent" in errors) == (1, True)


def test_a_cheater_is_shown_to_all(folder: Path, cheater: str, secrets: Path, tmp_path: Path) -> None:
    """Its signed answer is evidence. With one changed bit it is none."""
    code, printed, errors = ask(tmp_path, folder, secrets, cheater, "--number", "4")
    assert (code, "verdict    mismatch" in printed) == (5, True)
    assert "did not answer as the model does" in errors
    assert [trigger.is_spent for trigger in load_secrets(secrets)] == [False] * 3 + [True] + [False] * 2
    code, printed, _ = check(tmp_path, folder / "n.toml")
    assert (code, "verdict    mismatch" in printed) == (0, True)
    evidence = tmp_path / "evidence"
    data = bytearray(evidence.read_bytes())
    data[len(data) // 2] ^= 1
    evidence.write_bytes(bytes(data))
    assert check(tmp_path, folder / "n.toml")[0] in {1, 5}


def test_a_bought_trigger_does_for_one_audit(folder: Path, honest: str, secrets: Path, tmp_path: Path) -> None:
    """Handing out a trigger uses it up for the publisher. The buyer sees which answer it opens, and asks under its own
    name."""
    bought = tmp_path / "bought"
    give = (*CANARY, "show", str(secrets), "--give", "2", "-o", str(bought))
    assert run(tmp_path, *give).returncode == 0
    assert run(tmp_path, *give).returncode == 1
    shown = run(tmp_path, *CANARY, "show", str(bought), "--network", str(folder / "n.toml"), "--json")
    (row,) = json.loads(shown.stdout)["triggers"]
    assert (row["commitment"], row["spent"], row["tokens_max"]) == ("2 of 2 answers", False, 12)
    assert run(tmp_path / "home", "init").returncode == 0
    code, printed, _ = ask(tmp_path, folder, bought, honest, "--own-identity")
    assert (code, "verdict    match" in printed) == (0, True)
    states = run(tmp_path, *CANARY, "show", str(secrets)).stdout
    assert (states.count("spent"), states.count("fresh")) == (1, 5)


def test_without_the_classes_answer_it_cannot_be_told(folder: Path, honest: str, secrets: Path, tmp_path: Path) -> None:
    """An opening for another path says nothing about the peer."""
    partial = tuple(
        replace(t, replies=tuple(r for r in t.replies if r.numeric_path == "toy/b")) for t in load_secrets(secrets)
    )
    save_secrets(secrets, partial)
    code, printed, errors = ask(tmp_path, folder, secrets, honest)
    assert (code, "cannot tell" in printed) == (1, True)
    assert "is not opened" in errors
    assert check(tmp_path, folder / "n.toml")[0] == 0


def test_false_openings_spend_nothing(folder: Path, honest: str, secrets: Path, tmp_path: Path) -> None:
    """A trigger without a commitment, a wrong answer and an absent peer: nothing was asked."""
    good = load_secrets(secrets)
    save_secrets(secrets, tuple(replace(trigger, salt=bytes(32)) for trigger in good[:1]))
    code, _, errors = ask(tmp_path, folder, secrets, honest)
    assert (code, "no manifest of this network commits" in errors) == (5, True)
    wrong = replace(good[0], replies=(replace(good[0].replies[0], output=Output((1,), "stop")), *good[0].replies[1:]))
    save_secrets(secrets, (wrong,))
    shown = run(tmp_path, *CANARY, "show", str(secrets), "--network", str(folder / "n.toml"))
    assert "broken: the answer on" in shown.stdout
    code, _, errors = ask(tmp_path, folder, secrets, honest)
    assert (code, "is not the one that the manifest commits to" in errors) == (5, True)
    save_secrets(secrets, good)
    code, _, errors = ask(tmp_path, folder, secrets, NOBODY)
    assert (code, "the peer cannot be reached" in errors) == (4, True)
    assert not any(trigger.is_spent for trigger in load_secrets(secrets))
    assert not (tmp_path / "evidence").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("ask", "SECRETS", "/ip4/127.0.0.1/tcp/1", "--network", "NETWORK", "-o", "e"), 2, "names no peer"),
        (("ask", "none", NOBODY, "--network", "NETWORK", "-o", "e"), 2, "there is no such file"),
        (("ask", "SECRETS", NOBODY, "--network", "NETWORK", "-o", "NETWORK"), 1, "exists already"),
        (("ask", "SECRETS", NOBODY, "--network", "NETWORK", "-o", "e", "--number", "7"), 1, "there is no trigger 7"),
        (("check", "NETWORK", "--network", "NETWORK"), 1, "n.toml:"),
        (("new", "SECRETS", "--manifest", "m.toml", "--engine", "toy"), 1, "exists already"),
        (("show", "SECRETS", "--give", "1"), 2, "needs -o FILE"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: tuple[str, ...], code: int, message: str, folder: Path, secrets: Path, tmp_path: Path
) -> None:
    """The error has one line and comes before any request."""
    places = {"SECRETS": str(secrets), "NETWORK": str(folder / "n.toml")}
    done = run(tmp_path, *CANARY, *(places.get(word, word) for word in arguments), cwd=tmp_path)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_secrets_that_others_can_read_are_refused(secrets: Path, tmp_path: Path) -> None:
    """They are treated like a private key."""
    secrets.chmod(0o644)
    done = run(tmp_path, *CANARY, "show", str(secrets))
    assert (done.returncode, f"chmod 600 {secrets}" in done.stderr) == (1, True)


def test_evidence_of_another_network_proves_nothing(folder: Path, honest: str, secrets: Path, tmp_path: Path) -> None:
    """The exit code is 5, because the signatures are for another contract."""
    assert ask(tmp_path, folder, secrets, honest)[0] == 0
    other = tmp_path / "other.toml"
    other.write_text((folder / "n.toml").read_text().replace('name = "', 'name = "x', 1))
    code, _, errors = check(tmp_path, other)
    assert (code, "proves nothing: the request is of another network" in errors) == (5, True)
