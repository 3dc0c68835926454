"""`verify` of receipts and passports: what holds, what is refuted, and what is said about it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2pverify.cli.check.receipt_file import version_lines
from p2pverify.client.checking import check_receipt
from p2pverify.node.clients.desk import LOCAL
from p2pverify.node.clients.order import Order
from p2pverify.node.clients.paper import dumped
from p2pverify.node.files.networkfile import dump_network
from p2pverify.node.reports.documents.receipt import FullCheckDocument, ReceiptDocument
from p2pverify.testnet.world.peer.versions import MANIFEST as WORLD_MANIFEST
from tests.cli.transcript import run
from tests.support.doors import EPOCHS, open_door
from tests.support.lines import VERSION_1, overlap_world
from tests.support.networks import MANIFEST, make_network, seeds
from tests.support.toyworld import ToyWorld

PROMPT = (1, *b"why is the sky blue?", 2)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ReceiptDocument]:
    """A folder with the network file, and the receipt of two answers of peers of this network."""
    folder = tmp_path_factory.mktemp("receipts")
    world = ToyWorld(5, seed=3, slots_milli=3000)
    world.run_epochs(EPOCHS)
    (folder / "network.toml").write_text(dump_network(world.network, (world.manifest,)))

    async def ask() -> ReceiptDocument:
        async with open_door(folder, world.world) as bench:
            going = bench.door.begin(Order("chat.completions", (PROMPT, PROMPT), 40, 800, 7))
            while await going.receive() is not None:
                pass
            found = await bench.door.receipt(going.document.id, LOCAL)
            assert found is not None
            return found

    return folder, trio.run(ask)


def verify(folder: Path, receipt: ReceiptDocument, *options: str):
    """Run `verify` on a receipt."""
    path = folder / "receipt.json"
    path.write_bytes(dumped(receipt))
    return run(folder, "verify", str(path), "--network", str(folder / "network.toml"), *options)


def test_a_receipt_holds_without_a_node(answered: tuple[Path, ReceiptDocument]) -> None:
    folder, receipt = answered
    done = verify(folder, receipt)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("proven: the peer signed for exactly these tokens") == 2
    assert done.stdout.count("proven: two thirds of the peers with weight in this view signed it") == 2
    assert "not proven: that the model gives these tokens; --rerun computes them again" in done.stdout
    found = json.loads(verify(folder, receipt, "--json").stdout)
    assert (found["valid"], found["reason"], len(found["answers"])) == (True, None, 2)
    assert found["answers"][0]["passport"]["peer_id"] == receipt.answers[0].peer_id


def test_the_model_is_asked_again(answered: tuple[Path, ReceiptDocument]) -> None:
    folder, receipt = answered
    done = verify(folder, receipt, "--rerun", "--engine", "toy")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("proven: this machine's model gives this answer") == 2


def test_what_was_not_signed_is_refuted(answered: tuple[Path, ReceiptDocument]) -> None:
    """Another text of the file is found by the signed bytes, and other bytes by their signatures."""
    folder, receipt = answered
    first, second = receipt.answers
    for changed, reason in (
        (replace(first, tokens=first.tokens[::-1]), "the answer that it shows is not the one that was signed"),
        (replace(first, peer_id=second.peer_id[:-1] + "Z"), "the peer that it shows"),
        (replace(first, response=first.response[:-2] + "00"), "the response does not hold"),
        (replace(first, request=first.request[:-2] + "00"), "the requester did not sign this request"),
        (replace(first, passport=second.passport), "the passport is of another peer"),
        (replace(first, passport="00"), "the passport does not hold"),
        (replace(first, passport="zz"), "its bytes are not in hex"),
    ):
        if changed == first:
            continue  # one peer gave both answers
        done = verify(folder, replace(receipt, answers=(changed, second)))
        assert done.returncode == 5, changed
        assert reason in done.stderr


def test_answers_without_a_majority_hold(answered: tuple[Path, ReceiptDocument]) -> None:
    """All answers are shown with what each peer signed. Bytes that do not hold are refuted as elsewhere."""
    folder, receipt = answered
    divided = tuple(replace(each, returned=False, compared="differs") for each in receipt.answers)
    check = FullCheckDocument(index=0, panel=2, answers=2, agree=0, differ=2, not_compared=0, majority=False)
    failed = replace(receipt, state="failed", checks=(check,), answers=divided)
    done = verify(folder, failed)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no majority: 2 peers were to answer" in done.stdout
    assert done.stdout.count("proven: the peer signed for exactly these tokens") == 2
    assert done.stdout.count(", not returned") == 2
    found = json.loads(verify(folder, failed, "--json").stdout)
    assert (found["valid"], found["state"], found["checks"][0]["majority"]) == (True, "failed", False)
    done = verify(folder, replace(failed, answers=(replace(divided[0], text=""), replace(divided[1], queue_ms=9999))))
    assert (done.returncode, "the waiting time that it shows" in done.stderr) == (5, True)
    done = verify(folder, replace(failed, checks=()))
    assert (done.returncode, "the request failed: " in done.stdout) == (0, True)


def test_a_receipt_of_another_network(answered: tuple[Path, ReceiptDocument]) -> None:
    folder, receipt = answered
    other = folder / "other.toml"
    other.write_text(dump_network(make_network(seeds(3)), (MANIFEST,)))
    path = folder / "receipt.json"
    path.write_bytes(dumped(receipt))
    done = run(folder, "verify", str(path), "--network", str(other))
    assert (done.returncode, "it is of another network" in done.stderr) == (5, True)


def test_a_receipt_without_passports_says_so(answered: tuple[Path, ReceiptDocument]) -> None:
    folder, receipt = answered
    bare = replace(receipt, answers=tuple(replace(each, passport=None) for each in receipt.answers))
    done = verify(folder, bare)
    assert done.returncode == 0
    assert done.stdout.count("not proven: anything about the peer") == 2


def test_versions_are_proven_by_passports_alone(tmp_path: Path) -> None:
    """The definition names the first version. That a later one is a version, and served, the row shows."""
    world = overlap_world()
    (tmp_path / "network.toml").write_text(dump_network(world.network, (WORLD_MANIFEST,)))

    async def ask() -> ReceiptDocument:
        async with open_door(tmp_path, world) as bench:
            going = bench.door.begin(Order("chat.completions", (PROMPT, PROMPT), 40, 800, 7, model=VERSION_1.digest))
            while await going.receive() is not None:
                pass
            return going.document

    first, second = (receipt := trio.run(ask)).answers
    done = verify(tmp_path, replace(receipt, answers=(first, replace(second, passport=None))))
    assert (done.returncode, done.stderr) == (0, "")
    served, model = f"served version with manifest {VERSION_1.digest.hex()}", first.question.manifest
    assert done.stdout.count(f"proven: {served}, by the view of epoch") == 1
    assert done.stdout.count(f"assumed: the peer computed with the version asked for, with manifest {model}") == 1
    assert done.stdout.count("assumed: this is a version of the model of its class") == 1
    assert "the version with manifest" in done.stdout
    facts = check_receipt(world.network, receipt).answers[0].facts
    assert facts.passport is not None
    moved = replace(facts.passport, row=replace(facts.passport.row, manifest=WORLD_MANIFEST.digest))
    said = version_lines(world.network, replace(facts, passport=moved))
    assert said[-1].endswith(f"it served the one with manifest {WORLD_MANIFEST.digest.hex()}")
    assert version_lines(replace(world.network, lines=()), facts) == []


def test_a_passport_is_checked_alone(answered: tuple[Path, ReceiptDocument]) -> None:
    """A trusted cut id removes the assumption about the signers; another one refutes the passport."""
    folder, receipt = answered
    path, network = folder / "peer.passport", str(folder / "network.toml")
    assert receipt.answers[0].passport is not None
    path.write_bytes(bytes.fromhex(receipt.answers[0].passport))
    done = run(folder, "verify", str(path), "--network", network)
    assert (done.returncode, done.stderr) == (0, "")
    assert receipt.answers[0].peer_id in done.stdout
    assert "assumed: fewer than a third of the founders lie" in done.stdout
    cut = receipt.answers[0].cut
    trusted = run(folder, "verify", str(path), "--network", network, "--cut", cut, "--json")
    assert json.loads(trusted.stdout)["passport"]["cut_is_trusted"] is True
    wrong = run(folder, "verify", str(path), "--network", network, "--cut", "00" * 32)
    assert (wrong.returncode, "not of the cut in --cut" in wrong.stderr) == (5, True)


def test_options_of_other_kinds_are_refused(answered: tuple[Path, ReceiptDocument]) -> None:
    folder, receipt = answered
    done = verify(folder, receipt, "--manifest", str(folder / "network.toml"))
    assert (done.returncode, "--manifest is not for the receipt of an answer" in done.stderr) == (2, True)


def test_files_that_are_none(answered: tuple[Path, ReceiptDocument]) -> None:
    """Exit 2: a receipt without an answer, a broken one, and a home without a network."""
    folder, receipt = answered
    done = verify(folder, replace(receipt, state="failed", answers=()))
    assert (done.returncode, "holds no answer" in done.stderr) == (2, True)
    path = folder / "receipt.json"
    path.write_bytes(dumped(receipt)[:-1])
    done = run(folder, "verify", str(path), "--network", str(folder / "network.toml"))
    assert (done.returncode, "is no valid receipt" in done.stderr) == (2, True)
    done = run(folder / "nowhere", "verify", str(path))
    assert (done.returncode, "there is no network to hold it against" in done.stderr) == (2, True)
