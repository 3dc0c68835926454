"""Releases, recalls, rotations and serve records, as a step of the fold counts them.

A record that does not count is counted by its reason.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import NamedTuple

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.history.release import Release
from p2pverify.core.contract.manifest import Manifest, decode_manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.lines.recall import Reason, Recall, decode_recall
from p2pverify.core.records.payloads.lines.release import SignedRelease, decode_signed_release
from p2pverify.core.records.payloads.lines.rotation import Rotation, decode_rotation
from p2pverify.core.records.payloads.lines.serve import decode_serve
from p2pverify.core.records.payloads.lines.signatures import Signatures
from p2pverify.core.state.lines.notes import LineNotes, ServedVersion, Version
from p2pverify.core.state.lines.versions import (
    Status,
    find_version,
    line_of,
    notes_of,
    number_of,
    status_of,
)
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Transition

#: Versions of one line; the oldest are forgotten first.
VERSIONS_MAX = 64


def take_releases(step: Transition, records: Iterable[Record]) -> None:
    """Count releases by their numbers, and those of one number together, so that their order does not matter."""
    found: dict[tuple[int, int], list[_Body]] = {}
    for record in records:
        signed = decode_signed_release(record.payload)
        release = signed.release
        refused = refuse_author(step.state, record.author)
        if refused is not None:
            step.state.count(f"release: {refused}")
            continue
        body = _Body(release, sha256(release.statement(step.network_id)), record.id, _keys(signed.signatures))
        found.setdefault((release.line, release.number), []).append(body)
    for line, number in sorted(found):
        before = notes_of(step.network, step.state, line)
        after = _take_number(step, before, number, found[line, number])
        if after != before:
            step.state.lines[line] = after


class _Body(NamedTuple):
    """A release as one record carries it, and the digest of its statement."""

    release: Release
    statement: bytes
    record: bytes
    signers: frozenset[bytes]


def _keys(signatures: Signatures) -> frozenset[bytes]:
    return frozenset(key for key, _ in signatures)


def _take_number(step: Transition, notes: LineNotes, number: int, bodies: list[_Body]) -> LineNotes:
    """The notes of a line after all releases of a step that have one number.

    A publisher that signed two bodies is struck. Two bodies that enough publishers signed void the number. So one
    thief of a key cannot void what the others released.
    """
    state, known = step.state, find_version(notes, number)
    signers: dict[bytes, frozenset[bytes]] = {} if known is None else {known.statement: known.signers}
    publishers = frozenset(notes.publishers.keys)  # strangers' signatures are free, so none is remembered
    for body in bodies:
        signers[body.statement] = signers.get(body.statement, frozenset()) | body.signers & publishers
    complete = {statement for statement, keys in signers.items() if _reaches(notes, keys)}
    twice = frozenset(key for key in notes.publishers.keys if sum(key in keys for keys in signers.values()) > 1)
    if not twice <= notes.struck:
        state.count("publishers struck")
    struck = replace(notes, struck=notes.struck | twice)
    if known is not None and not known.is_recalled and complete - {known.statement}:
        return _recall(step, struck, number, number - 1, Reason.TWO_BODIES)
    refused = refuse_number(notes, number, complete)
    if refused is not None:
        state.count(f"release: {refused}")
        return struck
    if len(complete) > 1:
        state.count("releases with two bodies")
        return replace(struck, newest=number)
    body = min(body for body in bodies if body.statement in complete)
    refused = refuse_manifest(step.network, state, body.release.manifest_digest)
    if refused is not None:
        state.count(f"release: {refused}")
        return struck
    return _announce(step, struck, body, signers[body.statement])


def refuse_author(state: State, author: bytes) -> str | None:
    """Why records about lines of an author do not count, or None."""
    member = state.members.get(author)
    if member is None or not member.active or member.is_convicted:
        return "author is no active member"
    return None


def refuse_number(notes: LineNotes, number: int, complete: Collection[bytes]) -> str | None:
    """Why no release with a number counts, or None. `complete` are the statements that enough publishers signed."""
    if number <= notes.newest:
        return "the number is taken"
    if number > notes.newest + 1:
        return "not the next number"
    return None if complete else "too few publishers signed"


def refuse_release(network: Network, state: State, signed: SignedRelease) -> str | None:
    """Why a release would not count in the next cut if it were the only one, or None."""
    release = signed.release
    notes = notes_of(network, state, release.line)
    complete = (release.manifest_digest,) if _reaches(notes, _keys(signed.signatures)) else ()
    return refuse_number(notes, release.number, complete) or refuse_manifest(network, state, release.manifest_digest)


def refuse_manifest(network: Network, state: State, manifest: bytes) -> str | None:
    """Why a manifest (digest, 32 B) can be no new version, or None."""
    others = (notes_of(network, state, index) for index in range(len(network.lines)))
    if manifest in network.manifests or any(one.manifest == manifest for each in others for one in each.versions):
        return "the manifest is that of another version"
    return None


def _reaches(notes: LineNotes, signers: frozenset[bytes]) -> bool:
    """Whether enough publishers signed."""
    valid = signers & (frozenset(notes.publishers.keys) - notes.struck)
    return len(valid) >= notes.publishers.threshold


def _announce(step: Transition, notes: LineNotes, body: _Body, signers: frozenset[bytes]) -> LineNotes:
    state, network, release = step.state, step.network, body.release
    state.count("releases")
    bounds = referee_bounds(network, release.line, decode_manifest(release.manifest))
    made = Version(
        release.number,
        release.manifest_digest,
        body.record,
        body.statement,
        signers,
        release.parents,
        state.epoch,
        bounds,
    )
    return replace(notes, versions=(*notes.versions, made)[-VERSIONS_MAX:], newest=release.number)


def referee_bounds(network: Network, line: int, manifest: Manifest) -> tuple[Across | None, ...]:
    """The referee's thresholds for the answers of a version, by class.

    They come from the manifest's calibrations. A calibration counts if its alarm is at most the rate that the class
    allows, so that a publisher cannot have the honest convicted. The rate stays that of the class.
    """
    found: list[Across | None] = []
    for kind in network.classes:
        known = None
        if kind.manifest == network.lines[line].genesis and kind.across is not None:
            for one in manifest.calibrations:
                same = (one.judge_engine, one.engine, one.numeric_path) == (
                    network.referee,
                    kind.engine,
                    kind.numeric_path,
                )
                if same and one.alarm_ppm <= kind.across.honest_ppm:
                    known = replace(one.across, honest_ppm=kind.across.honest_ppm)
        found.append(known)
    return tuple(found)


# ---------------------------------------------------------------- recalls and rotations


def take_recall(step: Transition, record: Record) -> None:
    """Count a recall by the publishers, or the vote of a member for one."""
    recall, state = decode_recall(record.payload), step.state
    notes = notes_of(step.network, state, recall.line)
    refused = refuse_recall(state, record.author, notes, recall)
    if refused is not None:
        state.count(f"recall: {refused}")
        return
    if not recall.signatures:
        notes = _vote(state, notes, recall, record.author)
        votes = notes.votes[recall.number, recall.back_to]
        if 3 * state.weight_of(votes) < 2 * sum(member.weight for member in state.members.values()):
            state.lines[recall.line] = notes
            return
    state.lines[recall.line] = _recall(step, notes, recall.number, recall.back_to, recall.reason)


def refuse_recall(state: State, author: bytes, notes: LineNotes, recall: Recall) -> str | None:
    """Why a recall does not count, or None."""
    refused = refuse_author(state, author)
    if refused is not None:
        return refused
    version, target = find_version(notes, recall.number), find_version(notes, recall.back_to)
    if version is None:
        return "no such version"
    if version.is_recalled:
        return "the version is recalled"
    if recall.back_to and (target is None or target.is_recalled):
        return "no version to go back to"
    if recall.signatures:
        return None if _reaches(notes, _keys(recall.signatures)) else "too few publishers signed"
    return None if state.members[author].may_vote(state.epoch) else "author has no weight"


def _vote(state: State, notes: LineNotes, recall: Recall, author: bytes) -> LineNotes:
    """The notes with a member's vote for a recall. Each member with weight has one vote in a line, its newest."""
    votes = {
        key: frozenset(peer for peer in voters - {author} if state.weight_of((peer,)))
        for key, voters in notes.votes.items()
    }
    key = (recall.number, recall.back_to)
    votes[key] = votes.get(key, frozenset()) | {author}
    return replace(notes, votes={key: voters for key, voters in votes.items() if voters})


def _recall(step: Transition, notes: LineNotes, number: int, back_to: int, reason: Reason) -> LineNotes:
    step.state.count("recalls")
    versions = tuple(
        replace(version, recalled_epoch=step.state.epoch, reason=reason)
        if back_to < version.number <= number and not version.is_recalled
        else version
        for version in notes.versions
    )
    gone = {version.number for version in versions if version.is_recalled}
    votes = {key: voters for key, voters in notes.votes.items() if key[0] not in gone}
    return replace(notes, versions=versions, votes=votes)


def take_rotation(step: Transition, record: Record) -> None:
    """Count new publishers of a line. Nobody is struck any more: those who signed know whom they name."""
    rotation, state = decode_rotation(record.payload), step.state
    notes = notes_of(step.network, state, rotation.line)
    refused = refuse_author(state, record.author) or refuse_rotation(notes, rotation)
    if refused is not None:
        state.count(f"rotation: {refused}")
        return
    changed = replace(notes, publishers=rotation.publishers, rotations=rotation.number, struck=frozenset())
    state.lines[rotation.line] = changed
    state.count("rotations")


def refuse_rotation(notes: LineNotes, rotation: Rotation) -> str | None:
    """Why new publishers do not count, or None."""
    if rotation.number != notes.rotations + 1:
        return "not the next number"
    return None if _reaches(notes, _keys(rotation.signatures)) else "too few publishers signed"


# ---------------------------------------------------------------- members


def take_serve(step: Transition, record: Record) -> None:
    """Note that a member serves another version."""
    state, manifest = step.state, decode_serve(record.payload).manifest
    refused = refuse_serve(step.network, state, record.author, manifest)
    if refused is not None:
        state.count(f"serve: {refused}")
        return
    line = line_of(step.network, state, record.author)
    assert line is not None
    number = number_of(step.network.lines[line], notes_of(step.network, state, line), manifest)
    assert number is not None
    state.served[record.author] = ServedVersion(number, left=state.version_of(record.author))


def refuse_serve(network: Network, state: State, author: bytes, manifest: bytes) -> str | None:
    """Why a member cannot serve the version with this manifest (digest, 32 B) now, or None."""
    refused = refuse_author(state, author)
    if refused is not None:
        return refused
    line = line_of(network, state, author)
    if line is None:
        return "the model of its class has no line"
    notes = notes_of(network, state, line)
    number = number_of(network.lines[line], notes, manifest)
    if number is None:
        return "no version of its line"
    if number == state.version_of(author):
        return "the member serves it"
    match status_of(network.lines[line], notes, number, state.epoch):
        case Status.ANNOUNCED:
            return "the version is not current yet"
        case Status.RETIRED:
            return "the version is retired"
        case Status.RECALLED:
            return "the version is recalled"
        case _:
            return None


def forget_rows(state: State) -> None:
    """Forget what peers without a row serve."""
    state.served = {peer: served for peer, served in state.served.items() if peer in state.members}
