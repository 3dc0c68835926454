"""`ledger verify --rerun` and `--proof` on ledgers of the toy engine: what is printed, what is written, how it ends."""

import json
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import trio

from p2pverify.core.contract.network import Network
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network
from p2pverify.node.reports.documents.rerun import RerunDocument
from p2pverify.node.rerun.proof import PROOF_BYTES_MAX, decode_proof
from p2pverify.store.exportfile import write_export
from tests.cli.show.test_ledger import fill
from tests.cli.transcript import run
from tests.support.toyworld import ToyWorld, always, share


def ledger(folder: Path, world: ToyWorld) -> Path:
    """An export of a world, with its network file beside it."""
    folder.mkdir()
    (folder / "network.toml").write_text(dump_network(world.network, (world.manifest,)))
    with (folder / "run.ledger").open("wb") as file:
        write_export(file, world.header(), world.records())
    return folder / "run.ledger"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rerun")


@pytest.fixture(scope="module")
def honest(folder: Path) -> Path:
    """The ledger of five peers, one of which lies now and then."""
    world = ToyWorld(5, seed=3, lies={4: share(0.5)}, slots_milli=1500)
    world.run_epochs(8)
    return ledger(folder / "honest", world)


@pytest.fixture(scope="module")
def lying(folder: Path) -> Path:
    """The ledger of five peers, three of which tell the same lies. A first run has written the proof beside it."""
    world = ToyWorld(5, seed=3, lies=dict.fromkeys(range(3), always), slots_milli=1500)
    world.run_epochs(10)
    file = ledger(folder / "lying", world)
    done = verify(file, "--rerun", "all", "--json")
    assert done.returncode == 5, done.stderr
    return file


@pytest.fixture
def proof(lying: Path) -> Path:
    return Path(f"{lying}.proof")


def verify(file: Path, *options: str | Path, network: bool = True) -> CompletedProcess[str]:
    """Run `ledger verify` on an export with its network file, and with no home."""
    pin = ["--network", str(file.parent / "network.toml")] if network else []
    return run(file.parent / "no-home", "ledger", "verify", str(file), *pin, *map(str, options))


def check(proof: Path, *options: str | Path) -> CompletedProcess[str]:
    """Check a proof file as somebody that has nothing but the model."""
    return run(proof.parent / "no-home", "ledger", "verify", "--proof", str(proof), *map(str, options))


def test_an_honest_ledger_agrees(honest: Path) -> None:
    """All or a drawn number; the view is recomputed too, and no proof is written."""
    done = verify(honest, "--rerun", "10")
    assert done.returncode == 0, done.stderr
    assert "every signature, link, proof, opening and certificate holds" in done.stdout
    assert "computed again in class sha256 by toy/1 sha256 (4 of 4 golden answers are equal)" in done.stdout
    assert "10 of 10 agree: " in done.stdout
    assert ", drawn from " in done.stdout
    done = verify(honest, "--rerun", "all", "--json")
    found = json.loads(done.stdout)["rerun"]
    assert found.keys() == {"class" if name == "class_" else name for name in RerunDocument.__dataclass_fields__}
    assert found["agree"] == found["candidates"] == found["disputes"] + found["undisputed"] > 10
    assert (found["wrong"], found["proof"]) == ([], None)
    assert not Path(f"{honest}.proof").exists()


def test_a_wrong_decision_is_told_and_proven(lying: Path, proof: Path) -> None:
    """The exit code is 5, each wrong decision is printed with its voters, and the proof is confirmed elsewhere."""
    done = verify(lying, "--rerun", "all")
    assert done.returncode == 5
    lines = done.stdout.splitlines()
    wrong = sum(line.startswith("wrong: ") for line in lines)
    assert wrong > 3
    assert any(line.startswith("wrong: dispute e") for line in lines)
    assert any(line.startswith("wrong: undisputed audit e") for line in lines)
    assert any(line.startswith("  voted for by   12D3KooW") for line in lines)
    assert any(line.startswith("  opened by      12D3KooW") for line in lines)
    assert f"{wrong} of " in done.stderr
    assert f"p2pverify ledger verify --proof {proof}" in done.stderr
    assert len(decode_proof(proof.read_bytes()).cases) == wrong
    confirmed = check(proof)
    assert confirmed.returncode == 0, confirmed.stderr
    assert f"confirmed: {wrong} wrong" in confirmed.stdout
    assert "give the ledger too" in confirmed.stdout


def test_a_proof_is_held_against_the_ledger(lying: Path, honest: Path, proof: Path) -> None:
    """With FILE the ledger must hold the decisions. With --network the proof must be of that network."""
    done = verify(lying, "--proof", proof, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["confirmed"], found["in_ledger"], found["network_is_pinned"]) == (True, True, True)
    assert all(one["decision"] != one["computed"] for one in found["decisions"])
    done = verify(honest, "--proof", proof, "--json")
    assert done.returncode == 5
    found = json.loads(done.stdout)
    assert (found["confirmed"], found["in_ledger"]) == (False, False)
    assert found["reason"] == "the ledger does not hold one of its decisions"
    done = check(proof, "--network", "0" * 64)
    assert (done.returncode, "it is of network" in done.stderr) == (5, True)


def test_a_proof_that_the_ledger_does_not_hold_is_refuted(lying: Path, proof: Path, tmp_path: Path) -> None:
    """The cut is no part of any signature, so only the ledger shows a false one."""
    whole = decode_proof(proof.read_bytes())
    moved = replace(whole, cases=(replace(whole.cases[0], cut=bytes(32)),))
    (tmp_path / "moved").write_bytes(moved.encode())
    assert check(tmp_path / "moved").returncode == 0
    done = verify(lying, "--proof", tmp_path / "moved")
    assert (done.returncode, "the ledger does not hold one of its decisions" in done.stderr) == (5, True)


def test_a_false_proof_is_refuted(proof: Path, tmp_path: Path) -> None:
    """A changed decision has no votes, a changed result is not what this machine computes."""
    whole = decode_proof(proof.read_bytes())
    case = next(case for case in whole.cases if case.votes)
    changes = {
        "a vote is not for this decision": replace(case, decision=bytes(32)),
        "neither what was decided nor what the file says": replace(
            case, computed=replace(case.computed, output=bytes(32))
        ),
        "the vote does not hold": replace(case, votes=(case.votes[0][:-1] + b"\xff",)),
    }
    for number, (reason, changed) in enumerate(changes.items()):
        file = tmp_path / str(number)
        file.write_bytes(replace(whole, cases=(changed,)).encode())
        done = check(file, "--json")
        assert (done.returncode, reason in done.stderr) == (5, True), done.stderr
        assert json.loads(done.stdout)["confirmed"] is False


def test_a_right_decision_is_no_proof(honest: Path, tmp_path: Path, proof: Path) -> None:
    """A proof of decisions that the model confirms is refuted by the model."""
    from tests.node.rerun.test_rerun import judge_of, ledger_of

    world = ToyWorld(5, seed=3, slots_milli=1500)
    world.run_epochs(6)
    case = next(case for case in ledger_of(world)[1] if not case.is_disputed)
    made = replace(
        decode_proof(proof.read_bytes()).cases[0],
        audit=case.audit_record.data,
        duty=case.duty_record.data,
        decision=case.decision,
        votes=(),
        computed=judge_of(world).run(case),
    )
    whole = replace(
        decode_proof(proof.read_bytes()),
        definition=world.network.encode(),
        manifest=world.manifest.encode(),
        cases=(made,),
    )
    (tmp_path / "right").write_bytes(whole.encode())
    done = check(tmp_path / "right")
    assert (done.returncode, "this machine computes what was decided" in done.stderr) == (5, True)


def test_what_is_no_proof_file_says_so(proof: Path, honest: Path, tmp_path: Path) -> None:
    """The exit code is 2, and the reason names the fault of form."""
    data = proof.read_bytes()
    whole = decode_proof(data)
    files = {
        "truncated": data[:-1],
        "trailing bytes": data + b"\0",
        "too long": bytes(PROOF_BYTES_MAX + 1),
        "not a re-run proof": data.replace(b"rerun-proof/1", b"rerun-proof/9", 1),
        "decisions are none or repeat": replace(whole, cases=()).encode(),
        "the manifest is not one of the network": replace(
            whole, definition=_definition(honest.parent / "network.toml")
        ).encode(),
        "network": replace(whole, definition=b"\x80").encode(),
    }
    for number, (reason, content) in enumerate(files.items()):
        file = tmp_path / str(number)
        file.write_bytes(content)
        done = check(file)
        assert (done.returncode, f"{file} is no proof file: " in done.stderr) == (2, True), reason
        assert reason in done.stderr
    assert check(honest).returncode == 2


def _definition(path: Path) -> bytes:
    """The definition of a network of another model."""
    from p2pverify.node.files.networkfile import load_network

    network = load_network(path)[0]
    digest = bytes(32)
    return replace(
        network, manifests=(digest,), classes=tuple(replace(each, manifest=digest) for each in network.classes)
    ).encode()


def test_a_proof_is_written_where_it_is_wanted(lying: Path, proof: Path, tmp_path: Path) -> None:
    """An earlier proof is replaced, and no other file without --force. This is known before the work."""
    taken = tmp_path / "taken"
    taken.write_text("precious")
    done = verify(lying, "--rerun", "all", "--proof-out", taken)
    assert (done.returncode, "taken exists already" in done.stderr, done.stdout) == (1, True, "")
    assert verify(lying, "--rerun", "all", "--proof-out", taken, "--force").returncode == 5
    assert taken.read_bytes() == proof.read_bytes()


def test_a_machine_that_cannot_judge_says_so(honest: Path, lying: Path, proof: Path) -> None:
    """It computes another path, or it lacks the network file. The exit code is 1, so that it is no wrong decision."""
    done = verify(honest, "--rerun", "5", "--variant", "other")
    assert (done.returncode, "of no class" in done.stderr) == (1, True)
    done = check(proof, "--variant", "other")
    assert (done.returncode, "of no class" in done.stderr) == (1, True)
    done = verify(honest, "--rerun", "5", network=False)
    assert (done.returncode, "name the network file with --network FILE" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--rerun", "0"], "give a number from 1, or all"),
        (["--rerun", "some"], "give a number from 1, or all"),
        (["--rerun", "5", "--class", "nobody"], "the network has the classes sha256"),
        (["--class", "sha256"], "--class and --proof-out need --rerun"),
        (["--engine", "toy"], "--engine, --variant and --weights need --rerun or --proof"),
        (["--rerun", "5", "--proof", "PROOF"], "--proof does not go with --rerun"),
    ],
)
def test_wrong_calls(honest: Path, proof: Path, options: list[str], reason: str) -> None:
    """Each is refused with a sentence."""
    done = verify(honest, *(str(proof) if option == "PROOF" else option for option in options))
    assert (done.returncode, reason in done.stderr) == (2, True), done.stderr


def test_the_records_of_a_home_are_run_again(tmp_path: Path) -> None:
    """Without FILE the database is read, and the network file of the home has the manifest."""
    world = ToyWorld(5, seed=3, slots_milli=1500)
    world.run_epochs(6)
    home = Home(tmp_path / "home")
    home.init()
    assert run(home.path, "ledger", "verify").returncode == 2
    home.network_path.write_text(dump_network(world.network, (world.manifest,)))
    network: Network = world.network
    trio.run(fill, home.database_path, network, list(world.peers[0].machine.context.ledger.records()))
    done = run(home.path, "ledger", "verify", "--rerun", "all", "--class", "sha256", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert " agree: 0 disputes, " in done.stdout
