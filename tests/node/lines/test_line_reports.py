"""What reports say of lines, from states of a line on paper."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.contract.history.recipe import Quantise, encode_recipe
from p2pverify.core.contract.history.release import How
from p2pverify.core.contract.manifest import Manifest, decode_manifest
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.records.payloads.lines.release import decode_signed_release
from p2pverify.core.state import view
from p2pverify.node.lines.documents import LineDocument, LinesDocument, VersionDocument, VersionsDocument
from p2pverify.node.lines.report import LineReports
from p2pverify.node.ports import UnknownVersion
from p2pverify.node.reports.documents.jsonform import parse, written
from tests.support.lines import NOTICE, OVERLAP, PUBLISHERS, RECALL, LineStory, manifest_of
from tests.support.networks import MANIFEST


class Told(LineStory):
    """A story whose members report on it. `held` are digests of manifests with which they can compute."""

    def __init__(self, count: int = 4) -> None:
        super().__init__(count)
        self.ledger: dict[bytes, Any] = {}
        self.held: set[bytes] = {MANIFEST.digest}
        self.missing: dict[bytes, str] = {}

    def tell(self) -> None:
        self.ledger |= {record.id: record for record in self.steps.waiting}
        self.steps.step()

    def until(self, epoch: int) -> None:
        while self.state.epoch < epoch:
            self.tell()

    def reports(self, member: int = 0, *, listed: tuple[Manifest, ...] = (MANIFEST,)) -> LineReports:
        context = SimpleNamespace(
            ledger=self.ledger, held=self.held, class_index=0, network_id=self.network.id, network=self.network
        )
        fold = SimpleNamespace(latest=self.state)
        machine: Any = SimpleNamespace(network=self.network, context=context, fold=fold, key=self.keys[member])
        scores = {score.peer: score for score in view.scores(self.network, self.state)}
        return LineReports(machine, scores.get, listed, self.missing)

    def told(self) -> tuple[LineDocument, list[VersionDocument]]:
        found = self.reports().versions("story")
        assert parse(VersionsDocument, json.dumps(written(found))) == found
        return found.line, list(found.versions)


def test_a_line_before_its_first_release() -> None:
    story = Told()
    line, (first,) = story.told()
    assert (line.name, line.genesis, line.threshold, line.current, line.newest) == ("story", first.manifest, 2, 0, 0)
    assert line.publishers == tuple(peer_id(key) for key in sorted(map(public_key, PUBLISHERS)))
    assert (line.notice_epochs, line.overlap_epochs, line.recall_epochs) == (NOTICE, OVERLAP, RECALL)
    assert (first.number, first.status, first.record, first.grade, first.here, first.missing) == (
        0, "current", None, "claimed", True, None,
    )  # fmt: skip
    assert {server.peer_id for server in first.servers} == set(map(peer_id, story.keys))
    assert (first.weight, first.thin, first.ends_epoch) == (4, False, None)
    assert first.model == MANIFEST.model
    assert story.reports(listed=()).versions("story").versions[0].model is None
    lines = story.reports().lines()
    assert (lines.lines, parse(LinesDocument, json.dumps(written(lines)))) == ((line,), lines)


def test_a_release_and_its_end() -> None:
    """What the view says of a version from its announcement until it has replaced the one before."""
    story = Told()
    file = FileEntry("new.gguf", 77, manifest_of(1).weights, bytes(32))
    recipe = encode_recipe(Quantise("q5_0"))
    digest = story.release(1, how=How.QUANTISE, recipe=recipe, files=(file,), oms=bytes([9]) * 32)
    story.tell()
    announced = story.state.epoch
    line, (first, second) = story.told()
    assert (second.number, second.manifest, second.status) == (1, digest.hex(), "announced")
    assert (second.announced_epoch, second.current_from_epoch) == (announced, announced + NOTICE)
    assert (first.ends_epoch, second.ends_epoch) == (announced + NOTICE + OVERLAP, None)
    assert (second.how, second.recipe, second.oms) == ("quantise", "quantised to q5_0", "09" * 32)
    (parent,) = second.parents
    assert (parent.line, parent.number, parent.manifest) == ("story", 0, MANIFEST.digest.hex())
    assert [(each.path, each.bytes, each.sha256) for each in second.files] == [("new.gguf", 77, file.sha256.hex())]
    assert (second.servers, second.thin, second.here) == ((), False, False)
    assert second.signers == tuple(
        sorted((peer_id(public_key(seed)) for seed in PUBLISHERS[:2]), key=second.signers.index)
    )
    own = story.reports().own()
    assert own is not None
    assert (own.number, own.current, own.announced, own.announced_from_epoch) == (0, 0, 1, announced + NOTICE)

    story.missing[digest] = "no room"
    story.until(announced + NOTICE)
    assert story.told()[1][1].missing == "no room"
    story.held.add(digest)
    story.serve(0, digest)
    story.tell()
    line, (first, second) = story.told()
    assert (line.current, first.status, second.status, second.here, second.missing) == (
        1,
        "overlap",
        "current",
        True,
        None,
    )
    assert ([server.peer_id for server in second.servers], second.weight) == ([peer_id(story.keys[0])], 1)
    assert len(first.servers) == 3
    own, other = story.reports(0).own(), story.reports(1).own()
    assert own is not None
    assert other is not None
    assert (own.number, own.behind, own.current_here) == (1, False, True)
    assert (other.number, other.status, other.behind) == (0, "overlap", False)

    story.until(announced + NOTICE + OVERLAP)
    line, (first, second) = story.told()
    assert first.status == "retired"
    assert all(server.behind for server in first.servers)
    other = story.reports(1).own()
    assert other is not None
    assert other.behind
    assert story.reports().statistics() == {
        "versions announced": 0, "versions current": 1, "versions overlap": 0, "versions retired": 1,
        "versions recalled": 0, "members behind": 3, "own version": 1, "own behind": 0, "not ready": 1,
    }  # fmt: skip


def test_a_recall_taints_what_came_of_it() -> None:
    story = Told()
    first = story.release(1)
    story.tell()
    story.release(2, parents=(first,))
    story.tell()
    story.recall(1)
    story.tell()
    _, (_zero, one, two) = story.told()
    assert (one.status, two.status, one.tainted, two.tainted) == ("recalled", "announced", False, True)
    assert one.recalled is not None
    assert (one.recalled.epoch, one.recalled.reason) == (story.state.epoch, "defective")
    assert one.ends_epoch == story.state.epoch + RECALL
    assert (two.parents[0].line, two.parents[0].number) == ("story", 1)


def test_too_few_servers_of_a_version_are_thin() -> None:
    """Two of four members cannot decide disputes, and nobody can judge their answers across classes."""
    story = Told()
    digest = story.release(1)
    story.tell()
    story.until(story.state.epoch + NOTICE)
    for member in (0, 1):
        story.serve(member, digest)
    story.tell()
    assert [version.thin for version in story.told()[1]] == [False, True]  # those that left 0 can still vote on it
    story.serve(2, digest)
    story.tell()
    assert [version.thin for version in story.told()[1]] == [False, False]


def test_the_bytes_of_a_version() -> None:
    """Readers can hold the release against its signatures, and the manifest against its digest."""
    story = Told()
    story.release(1)
    story.tell()
    reports = story.reports()
    found = reports.release("story", 1)
    assert found.release is not None
    assert found.manifest is not None
    signed = decode_signed_release(bytes.fromhex(found.release))
    assert (signed.release.number, sha256(bytes.fromhex(found.manifest))) == (1, signed.release.manifest_digest)
    genesis = reports.release(story.network.lines[0].genesis.hex(), 0)
    assert genesis.release is None
    assert decode_manifest(bytes.fromhex(genesis.manifest or "")) == MANIFEST


def test_what_is_not_there_is_named() -> None:
    story = Told()
    reports = story.reports()
    with pytest.raises(UnknownVersion, match="its lines: story"):
        reports.versions("tale")
    with pytest.raises(UnknownVersion, match="the view knows 0"):
        reports.release("story", 1)
    plain = Told()
    plain.network = replace(plain.network, lines=())
    assert (plain.reports().lines().lines, plain.reports().own(), plain.reports().statistics()) == ((), None, {})
    with pytest.raises(UnknownVersion, match="one version"):
        plain.reports().versions("story")
