"""What a node makes ready of later versions: found, fetched, tested, told to the machine, and remembered."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2pverify.core.contract.golden import Golden, GoldenAnswer, GoldenPath, golden_answer
from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.contract.history.release import How, Release
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.output import Ask
from p2pverify.core.events import WriteRecord
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.lines.release import SignedRelease
from p2pverify.core.records.payloads.lines.signatures import sign_statement
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.driver import Driver
from p2pverify.node.engines.refusals import ModelUnavailable
from p2pverify.node.lines.known import NamedFiles, released_manifests, releases, sources
from p2pverify.node.lines.ready import Versions
from p2pverify.node.lines.served import ServedFile, contract_of_served, keep_version, read_version
from p2pverify.node.ports import Engine
from p2pverify.node.user_error import UserError
from tests.node.fakes import FakeJournal
from tests.support.lines import PUBLISHERS, with_line
from tests.support.networks import MANIFEST
from tests.support.worlds import make_world

QUESTION = Ask((5, 6, 7), 4, 0, bytes(32))
FILE = FileEntry("next.gguf", 1000, b"\x07" * 32, b"\x08" * 32)


def golden(engine: Engine, *, wrong: bool = False) -> Golden:
    """The answers of the class of simulated networks."""
    answer = golden_answer(engine.answer(QUESTION).output)
    if wrong:
        answer = GoldenAnswer(bytes(32), answer.logits)
    return Golden((QUESTION,), (GoldenPath("world", "any", (answer,)),))


class Engines:
    """Opens toys for versions. `places` are the files that this machine has, by the digest of the weights."""

    def __init__(self) -> None:
        self.places: dict[bytes, Path] = {}
        self.opened: list[tuple[str, bytes, Path]] = []

    def find_version(self, manifest: Manifest) -> Path | None:
        return self.places.get(manifest.weights)

    def open_version(self, role: str, manifest: Manifest, path: Path) -> Engine:
        self.opened.append((role, manifest.digest, path))
        return _Version(manifest)


class _Version(ToyEngine):
    """A toy with the digests of a manifest."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__("next")
        self._manifest = manifest

    @property
    def info(self):  # type: ignore[no-untyped-def]
        manifest = self._manifest
        return replace(
            super().info,
            weights_sha256=manifest.weights,
            tokenizer_sha256=manifest.tokenizer,
            template_sha256=manifest.template,
            quantisation=manifest.quantisation,
        )


class Noted(dict[bytes, str]):
    """Sets an event when something is noted."""

    def __init__(self, told: trio.Event) -> None:
        super().__init__()
        self._told = told

    def __setitem__(self, key: bytes, value: str) -> None:
        super().__setitem__(key, value)
        self._told.set()


class Bench:
    """A node of a small world whose publishers have released a version with one file."""

    def __init__(self, *, wrong: bool = False) -> None:
        self.world = make_world(3, seed=61, contract=with_line)
        self.world.run_epochs(2)
        self.next = replace(MANIFEST, weights=FILE.sha256)
        self.next = replace(self.next, golden=golden(_Version(self.next), wrong=wrong))
        made = Release(0, 1, self.next.encode(), (self.world.network.manifests[0],), How.FINE_TUNE, None, (FILE,))
        signed = SignedRelease(made, sign_statement(made.statement(self.world.network.id), PUBLISHERS[:2]))
        self.world.peers[0].feed(WriteRecord(0, Kind.RELEASE, signed.encode()))
        self.world.run_epochs(6)
        self.machine: Machine = self.world.peers[1].machine
        self.engines = Engines()
        self.versions = Versions(self.world.network, [MANIFEST], self.engines)
        self.driver = Driver(
            self.machine,
            FakeJournal(),
            ToyEngine(),
            open_version=self.versions.open,
            clock=lambda: self.world.now_ms,
        )
        self.ready: list[Path] = []
        self.kept: list[ServedFile | None] = []
        self.fetched: list[FileEntry] = []

    async def fetch(self, entry: FileEntry) -> Path:
        await trio.lowlevel.checkpoint()
        self.fetched.append(entry)
        return Path("/fetched")

    async def note_ready(self, path: Path) -> None:
        await trio.lowlevel.checkpoint()
        self.ready.append(path)
        self.told.set()

    async def run(self, *, fetches: bool) -> None:
        """Let the node make ready what it can."""
        self.told = trio.Event()
        self.versions.missing = Noted(self.told)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.driver._worker.run, lambda _outcome: None)
            fetch = self.fetch if fetches else None
            await nursery.start(self.versions.run, self.driver, fetch, self.note_ready, self.kept.append)
            with trio.fail_after(10):
                await self.told.wait()
            nursery.cancel_scope.cancel()

    @property
    def holds(self) -> bool:
        return self.next.digest in self.machine.context.held


@pytest.fixture(scope="module")
def known() -> Bench:
    return Bench()


def test_the_versions_of_the_final_view(known: Bench) -> None:
    """Version 0 has the manifest of the network file. Files are those that the release names."""
    first, second = releases(known.machine, {known.world.network.manifests[0]: MANIFEST})
    assert {first.number, second.number} == {0, 1}
    later = first if first.number else second
    assert (later.manifest, later.weights) == (known.next, FILE)
    named = NamedFiles(known.machine)
    assert named() == {FILE.sha256: FILE}
    assert named() is named()
    assert set(sources(known.machine, FILE.sha256)) == {peer.key for peer in known.world.peers} - {known.machine.key}


def test_a_forked_network_knows_versions_without_their_releases(known: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its state notes them, and their records are in the ledger of the network from which it was forked."""
    monkeypatch.setattr(known.machine.context.ledger, "get", lambda _record: None)
    genesis = known.world.network.manifests[0]
    assert [one.number for one in releases(known.machine, {genesis: MANIFEST})] == [0]
    assert released_manifests(known.machine) == {}
    assert NamedFiles(known.machine)() == {}
    assert len(sources(known.machine, FILE.sha256)) == len(known.world.peers) - 1


async def test_a_file_of_this_machine_is_tested_and_told() -> None:
    bench = Bench()
    bench.engines.places[FILE.sha256] = Path("/here")
    await bench.run(fetches=False)
    assert (bench.holds, bench.ready, bench.fetched) == (True, [Path("/here")], [])
    assert bench.engines.opened == [("own", bench.next.digest, Path("/here"))]


async def test_a_file_is_fetched_only_if_the_operator_wants_it() -> None:
    for fetches in (False, True):
        bench = Bench()
        await bench.run(fetches=fetches)
        assert bench.holds is fetches
        assert bench.fetched == ([FILE] if fetches else [])
        assert bool(bench.versions.missing) is not fetches


async def test_an_engine_that_answers_otherwise_is_not_used() -> None:
    """Its golden answers are not those of the class, so this node says why, and does not claim the version."""
    bench = Bench(wrong=True)
    bench.engines.places[FILE.sha256] = Path("/here")
    await bench.run(fetches=False)
    assert not bench.holds
    assert "golden answers" in bench.versions.missing[bench.next.digest]


async def test_a_failed_fetch_is_said_and_tried_again() -> None:
    bench, tries = Bench(), list[int]()

    async def fetch(_entry: FileEntry) -> Path:
        await trio.lowlevel.checkpoint()
        tries.append(1)
        if len(tries) == 1:
            raise UserError("nobody has it", "wait")
        return Path("/fetched")

    bench.fetch = fetch  # type: ignore[method-assign]
    await bench.run(fetches=True)
    assert "nobody has it" in bench.versions.missing[bench.next.digest]
    await bench.run(fetches=True)
    assert bench.holds


def test_what_was_not_found_is_not_opened(known: Bench) -> None:
    with pytest.raises(ModelUnavailable):
        Versions(known.world.network, [MANIFEST], known.engines).open("own", bytes(32))


def _served(known: Bench) -> ServedFile:
    return ServedFile(known.world.network.manifests[0], known.next)


def test_the_served_version_is_kept_and_read(known: Bench, tmp_path: Path) -> None:
    """Version 0 needs no file. A damaged file says what to do."""
    path = tmp_path / "version"
    assert read_version(path) is None
    keep_version(path, _served(known))
    assert read_version(path) == _served(known)
    contract = contract_of_served(known.world.network, _served(known))
    assert contract.classes[0].manifest == known.next.digest
    assert contract_of_served(known.world.network, None) == known.world.network
    keep_version(path, None)
    assert read_version(path) is None
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="delete it"):
        read_version(path)
