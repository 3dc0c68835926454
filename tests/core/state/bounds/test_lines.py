"""The worst authors of lines: hostile publishers, and members that carry, recall and move as often as they can."""

from dataclasses import replace

from p2pverify.core.contract.history.lines import PUBLISHERS_MAX, Publishers
from p2pverify.core.contract.history.recipe import PARENTS_MAX
from p2pverify.core.contract.history.release import How, Release
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.lines.recall import Reason, Recall
from p2pverify.core.records.payloads.lines.release import SignedRelease
from p2pverify.core.records.payloads.lines.rotation import Rotation
from p2pverify.core.records.payloads.lines.serve import Serve
from p2pverify.core.state.lines.take import VERSIONS_MAX
from p2pverify.core.state.lines.versions import notes_of
from p2pverify.testnet.world.state_size import bytes_max, part_bytes, state_bytes
from tests.support.lines import with_line
from tests.support.networks import MANIFEST, make_network, seeds
from tests.support.steps import Steps, key

MEMBERS, CUTS, A_CUT = 30, 16, 40
#: The publishers' keys. A step judges no signature, so none is made.
KEYS = tuple(sorted(sign.public_key(key(f"publisher {number}")) for number in range(PUBLISHERS_MAX)))
PARENTS = tuple(sorted(key(f"parent {number}") for number in range(PARENTS_MAX)))
#: The notes of a line without its versions and votes, those of a version, and those of a vote.
LINE_BYTES, VERSION_BYTES, VOTE_BYTES = 700, 900, 60


def signed(*strangers: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((each, bytes(64)) for each in sorted((*KEYS[: PUBLISHERS_MAX - len(strangers)], *strangers)))


def manifest_of(number: int, salt: int = 0) -> Manifest:
    return replace(MANIFEST, weights=sha256(b"%d %d" % (number, salt)))


def release(number: int, salt: int, *strangers: bytes) -> bytes:
    made = Release(0, number, manifest_of(number, salt).encode(), PARENTS, How.MERGE)
    return SignedRelease(made, signed(*strangers)).encode()


def write(steps: Steps, members: list[bytes], cut: int, newest: int) -> None:
    """What one cut brings: new versions, two bodies, carried copies with other keys, recalls, rotations, and moves."""
    for number in range(newest + 1, newest + 1 + A_CUT):
        carrier = members[number % MEMBERS]
        steps.say(carrier, Kind.RELEASE, release(number, 0, key(f"stranger {number}")))
        steps.say(carrier, Kind.RELEASE, release(number, 0, key(f"another {number}")))
    if cut % 2:
        steps.say(members[0], Kind.RELEASE, release(newest + A_CUT, 1))  # strikes the publishers, up to the rotation
    for number in range(A_CUT // 4):
        author, gone = members[number % MEMBERS], newest + A_CUT // 2 - 2 * number
        steps.say(author, Kind.RECALL, Recall(0, gone, Reason.OTHER, gone - 1, signed()).encode())
    for place, peer in enumerate(members[: MEMBERS // 2]):  # too few for a recall
        for again in range(3):
            target = newest + A_CUT // 2 + 1 + (place + again) % 8
            steps.say(peer, Kind.RECALL, Recall(0, target, Reason.OTHER, target - 1).encode())
    steps.say(members[0], Kind.ROTATION, Rotation(0, cut + 1, Publishers(KEYS, 1), signed()).encode())
    for peer in members:
        for number in (newest, newest - 1, 0):
            steps.say(peer, Kind.SERVE, Serve(manifest_of(number).digest if number else MANIFEST.digest).encode())


def test_a_line_by_the_worst_authors_stays_small() -> None:
    """More than a thousand releases, each carried twice: a line has bytes for 64 versions and a vote of each member."""
    network = with_line(make_network(seeds(MEMBERS, "bounds")))
    line = replace(network.lines[0], publishers=Publishers(KEYS, 1), notice_epochs=1, overlap_epochs=8)
    steps = Steps(replace(network, lines=(line,)))
    members = list(network.founders)
    for peer in members:
        steps.join(peer)
    state, newest = steps.step(), 0
    for cut in range(CUTS):
        write(steps, members, cut, newest)
        state = steps.step()
        newest = notes_of(steps.network, state, 0).newest
    notes = notes_of(steps.network, state, 0)
    assert newest == CUTS * A_CUT
    assert state.totals["recalls"] > 100
    assert state.totals["releases with two bodies"] == CUTS // 2
    assert (notes.rotations, len(notes.versions)) == (CUTS, VERSIONS_MAX)
    voters = [peer for voters in notes.votes.values() for peer in voters]
    assert len(voters) == len(set(voters)) == MEMBERS // 2
    assert set(state.served) == set(members)
    most = LINE_BYTES + VERSION_BYTES * VERSIONS_MAX + VOTE_BYTES * MEMBERS
    assert part_bytes(state)["lines"] <= most, part_bytes(state)
    assert part_bytes(state)["served"] <= 60 * MEMBERS
    assert state_bytes(state) <= bytes_max(state)


def test_what_a_member_serves_goes_with_its_row() -> None:
    """Keys are free, so a peer without a row leaves nothing behind."""
    steps = Steps(with_line(make_network(seeds(3, "bounds"))))
    for peer in steps.network.founders:
        steps.join(peer)
    state = steps.step()
    manifest = manifest_of(1)
    made = Release(0, 1, manifest.encode(), PARENTS, How.MERGE)
    keys = [(each, bytes(64)) for each in steps.network.lines[0].publishers.keys]
    steps.say(steps.network.founders[0], Kind.RELEASE, SignedRelease(made, tuple(keys)).encode())
    steps.run(3)
    gone = steps.network.founders[1]
    steps.say(gone, Kind.SERVE, Serve(manifest.digest).encode())
    state = steps.step()
    assert state.version_of(gone) == 1
    del state.members[gone]
    assert gone not in steps.step().served
