"""The second verifier, in JavaScript, says of passports and receipts what the package says."""

import json
import random
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pverify.core.contract.network import decode_network
from p2pverify.core.errors import DecodeError
from p2pverify.core.proofs.passport import Refuted, check_passport, decode_passport
from p2pverify.node.clients.checking import check_receipt_document, parse_receipt_file
from p2pverify.node.clients.paper import dumped
from p2pverify.node.reports.documents.jsonform import DocumentError
from tests.node.clients.test_door import order, read
from tests.support import npm
from tests.support.doors import open_door
from tests.support.lines import overlap_world
from tests.support.proofs import shown_answer, shown_passport

VERIFIER = Path(__file__).parent / "verify.mjs"
VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"
LINES_MAX = 310
SECONDS_MAX = 60
CHANGES = 120
NO_RECEIPT = "no receipt"  # the one reason that the verifier has for files that are not of the form

Job = dict[str, Any]


def cases(*paths: str) -> list[Any]:
    return [case for path in paths for case in json.loads((VECTORS / path).read_text(encoding="utf-8"))]


def jobs_of(directory: str, kind: str) -> list[Job]:
    found = cases(f"{directory}/valid.json", f"{directory}/invalid.json")
    return [{"kind": kind, **case["input"]} for case in found]


PASSPORTS, RECEIPTS = jobs_of("passport", "passport"), jobs_of("client-receipt", "receipt")


def changed_passports() -> list[Job]:
    """Passports with one byte replaced, inserted or removed."""
    rng = random.Random(5)
    found = []
    for number in range(CHANGES):
        base = PASSPORTS[number % 3]
        data = bytes.fromhex(base["passport"])
        at = rng.randrange(len(data))
        middle = rng.choice((bytes([data[at] ^ 1 << rng.randrange(8)]), rng.randbytes(2), b""))
        found.append({**base, "passport": (data[:at] + middle + data[at + 1 :]).hex()})
    return found


def changed_receipts() -> list[Job]:
    """Receipts with a member removed, or replaced by the value of another one."""
    rng = random.Random(6)
    found = []
    for number in range(CHANGES):
        base = RECEIPTS[number % 5]
        receipt = json.loads(base["receipt"])
        place = rng.choice((receipt, *[receipt["answers"][0]] * 3, receipt["answers"][0]["question"]))
        name = rng.choice(sorted(place))
        if rng.random() < 0.2:
            del place[name]
        else:
            # JavaScript has one kind of number, so it cannot tell the 0.0 of a rate from the 0 of a count.
            place[name] = rng.choice([place[each] for each in sorted(place) if not isinstance(place[each], float)])
        found.append({**base, "receipt": json.dumps(receipt)})
    return found


CHANGED = [*changed_passports(), *changed_receipts()]
CANON = [{"kind": "canon", "data": case["input"]} for case in cases("canon/valid.json", "canon/invalid.json")]
KEYS = [
    {"kind": "ed25519", **case["input"]}
    for case in cases("ed25519/valid.json", "ed25519/invalid.json", "ed25519/speccheck.json")
]


@pytest.fixture(scope="module")
def lined(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Passports and receipts of two versions of one line, and such passports with a changed byte."""
    world = overlap_world()
    machine, network = world.peers[0].machine, world.network.encode().hex()
    found, rng = [], random.Random(7)
    for number in (1, 3):
        passport = machine.issuer.passport(world.peers[number].machine.key)
        assert passport is not None
        data = passport.encode()
        found.append({"kind": "passport", "network": network, "passport": data.hex()})
        for _ in range(CHANGES // 12):
            at = rng.randrange(len(data))
            changed = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
            found.append({"kind": "passport", "network": network, "passport": changed.hex()})

    async def ask() -> None:
        async with open_door(tmp_path_factory.mktemp("door"), world) as bench:
            for one in bench.door.catalog.all():
                opened = bench.door.begin(order(model=one.digest))
                await read(opened)
                for passport in (opened.document.answers[0].passport, None):
                    answer = replace(opened.document.answers[0], passport=passport)
                    receipt = dumped(replace(opened.document, answers=(answer,))).decode()
                    found.append({"kind": "receipt", "network": network, "receipt": receipt})

    trio.run(ask)
    return found


@pytest.fixture(scope="module")
def said(lined: list[Job]) -> list[tuple[Job, dict[str, Any]]]:
    """What the verifier says of all jobs. One process does them, because each start takes longer than the work."""
    jobs = [*lined, *PASSPORTS, *RECEIPTS, *CHANGED, *CANON, *KEYS]
    done = subprocess.run(
        [*npm.node(), str(VERIFIER)],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return list(zip(jobs, json.loads(done.stdout), strict=True))


def says(said: list[tuple[Job, dict[str, Any]]], jobs: list[Job]) -> list[dict[str, Any]]:
    return [found for job, found in said if any(job is each for each in jobs)]


def test_it_is_small() -> None:
    """So that somebody reads it."""
    assert len(VERIFIER.read_text(encoding="utf-8").splitlines()) <= LINES_MAX


@pytest.mark.parametrize(("directory", "jobs"), [("passport", PASSPORTS), ("client-receipt", RECEIPTS)])
def test_vectors(said: list[tuple[Job, dict[str, Any]]], directory: str, jobs: list[Job]) -> None:
    """The same verdict, facts and reason."""
    expected = cases(f"{directory}/valid.json", f"{directory}/invalid.json")
    for case, found in zip(expected, says(said, jobs), strict=True):
        assert found["found"] == (None if case["expect"] == "reject" else case["expect"]), case["comment"]
        if found["reason"] == NO_RECEIPT:
            with pytest.raises(DocumentError):
                parse_receipt_file(case["input"]["receipt"].encode())
        else:
            assert found["reason"] == case["reason"], case["comment"]


def test_changed_files(said: list[tuple[Job, dict[str, Any]]]) -> None:
    """Both verifiers agree about files that no vector has."""
    verdicts = set()
    for job, found in zip(CHANGED, says(said, CHANGED), strict=True):
        assert found["found"] == ours(job), job
        verdicts.add((job["kind"], found["found"] is None))
    assert verdicts >= {("passport", True), ("receipt", True), ("receipt", False)}


def test_versions(said: list[tuple[Job, dict[str, Any]]], lined: list[Job]) -> None:
    """Both verifiers read which version a row names, and agree that a receipt of a later version holds."""
    verdicts = set()
    for job, found in zip(lined, says(said, lined), strict=True):
        assert found["found"] == ours(job), (found, job)
        verdicts.add((job["kind"], found["found"] is None))
    assert verdicts == {("passport", True), ("passport", False), ("receipt", False)}
    assert "manifest" in says(said, lined)[0]["found"]


def ours(job: Job) -> object:
    """What the package says of a job: the facts, or None."""
    network = decode_network(bytes.fromhex(job["network"]))
    try:
        if job["kind"] == "passport":
            return shown_passport(check_passport(network, decode_passport(bytes.fromhex(job["passport"]))))
        document = parse_receipt_file(job["receipt"].encode())
        return [shown_answer(each) for each in check_receipt_document(network, document)]
    except (DecodeError, DocumentError, Refuted):
        return None


def test_canonical_form(said: list[tuple[Job, dict[str, Any]]]) -> None:
    """It reads what is canonical and refuses everything else. Maps occur in none of these files."""
    found = says(said, CANON)
    for case, each in zip(cases("canon/valid.json", "canon/invalid.json"), found, strict=True):
        if each["reason"] != "a map":
            assert each["found"] == (None if case["expect"] == "invalid" else case["input"]), case["comment"]
    assert sum(each["found"] is not None for each in found) > 20


def test_signatures(said: list[tuple[Job, dict[str, Any]]]) -> None:
    """It accepts the same signatures, at the edges too."""
    expected = cases("ed25519/valid.json", "ed25519/invalid.json", "ed25519/speccheck.json")
    for case, each in zip(expected, says(said, KEYS), strict=True):
        assert each["found"] is case["expect"], case["comment"]
