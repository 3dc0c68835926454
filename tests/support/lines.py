"""A line on paper, with a story of releases, recalls and members that move; and a world in which members move."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from p2pverify.core.contract.history.lines import ModelLine, Publishers
from p2pverify.core.contract.history.release import How, Release
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.events import Event, HeldModel, VersionHeld
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.lines.recall import Reason, Recall
from p2pverify.core.records.payloads.lines.release import SignedRelease
from p2pverify.core.records.payloads.lines.rotation import Rotation
from p2pverify.core.records.payloads.lines.serve import Serve
from p2pverify.core.records.payloads.lines.signatures import sign_statement
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.state.lines.versions import Status, notes_of, status_of
from p2pverify.core.state.state import State
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.actor import Actor
from tests.support.networks import MANIFEST, make_network, seeds
from tests.support.steps import VRF_KEY, Steps
from tests.support.worlds import Around, Handle, casting, make_world

PUBLISHERS = tuple(sorted((bytes([number]) * 32 for number in (1, 2, 3)), key=sign.public_key))
NOTICE, OVERLAP, RECALL = 2, 4, 3


def publishers_of(secrets: Sequence[bytes], threshold: int) -> Publishers:
    return Publishers(tuple(sorted(map(sign.public_key, secrets))), threshold)


def with_line(network: Network, threshold: int = 2) -> Network:
    """The network with a line over its first manifest."""
    line = ModelLine("story", network.manifests[0], publishers_of(PUBLISHERS, threshold), NOTICE, OVERLAP, RECALL)
    return replace(network, lines=(line,))


def manifest_of(number: int, body: str = "", **changes: object) -> Manifest:
    """The manifest of a version; `body` tells those of one number apart."""
    return replace(MANIFEST, weights=sha256(b"weights %d %s" % (number, body.encode())), **changes)  # type: ignore[arg-type]


VERSION_1 = manifest_of(1)
#: The numbers of the peers of `overlap_world` that moved to version 1.
MOVED = (0, 3, 4, 5)


class LineStory:
    """Founders of one class whose model has a line."""

    def __init__(self, count: int = 4, *, steps: type[Steps] = Steps, **rules: int) -> None:
        self.seeds = seeds(count)
        self.keys = [sign.public_key(seed) for seed in self.seeds]
        self.network = with_line(make_network(self.seeds, **rules))
        self.steps = steps(self.network)
        for key in self.keys:
            self.steps.join(key)
        self.steps.step()

    @property
    def state(self) -> State:
        return self.steps.latest

    def release(
        self, number: int, *, by: Sequence[bytes] = PUBLISHERS[:2], body: str = "", author: int = 0, **changes: object
    ) -> bytes:
        """Have a member publish a release that publishers signed; the digest of its manifest."""
        manifest = manifest_of(number, body)
        made = replace(Release(0, number, manifest.encode(), (MANIFEST.digest,), How.FINE_TUNE), **changes)  # type: ignore[arg-type]
        signed = SignedRelease(made, sign_statement(made.statement(self.network.id), by))
        self.steps.say(self.keys[author], Kind.RELEASE, signed.encode())
        return made.manifest_digest

    def recall(self, number: int, back_to: int = 0, *, by: Sequence[bytes] = PUBLISHERS[:2], author: int = 0) -> None:
        made = Recall(0, number, Reason.DEFECTIVE, back_to)
        signatures = sign_statement(made.statement(self.network.id), by) if by else ()
        self.steps.say(self.keys[author], Kind.RECALL, replace(made, signatures=signatures).encode())

    def rotate(self, number: int, to: Publishers, *, by: Sequence[bytes] = PUBLISHERS[:2]) -> None:
        made = Rotation(0, number, to, ())
        signed = replace(made, signatures=sign_statement(made.statement(self.network.id), by))
        self.steps.say(self.keys[0], Kind.ROTATION, signed.encode())

    def move_to_class(self, member: int, class_index: int) -> None:
        self.steps.leave(self.keys[member])
        self.steps.say(self.keys[member], Kind.JOIN, Join(class_index, VRF_KEY).encode())

    def serve(self, member: int, manifest: bytes) -> None:
        self.steps.say(self.keys[member], Kind.SERVE, Serve(manifest).encode())

    def statuses(self) -> list[Status]:
        """The status of each version, version 0 first."""
        notes = notes_of(self.network, self.state, 0)
        numbers = [0, *(version.number for version in notes.versions)]
        return [status_of(self.network.lines[0], notes, number, self.state.epoch) for number in numbers]

    def refusals(self, kind: str) -> dict[str, int]:
        """The counters of records of a kind that did not count."""
        return {name.partition(": ")[2]: n for name, n in self.state.totals.items() if name.startswith(f"{kind}: ")}


def signed_release(network: Network, manifest: Manifest, number: int = 1) -> SignedRelease:
    """A release of a version by two publishers."""
    made = Release(0, number, manifest.encode(), (MANIFEST.digest,), How.FINE_TUNE)
    return SignedRelease(made, sign_statement(made.statement(network.id), PUBLISHERS[:2]))


def line_world(
    count: int,
    epochs: float,
    *,
    movers: Collection[int],
    releases: int = 3,
    manifest: Manifest = VERSION_1,
    **options: Any,
) -> World:
    """A world whose first member publishes version 1 in the epoch `releases`. The `movers` (numbers) serve it as soon
    as it is current. `options` are those of `make_world`.
    """
    around = moving(count, movers, releases, manifest)
    rules = {"slots_milli": 3000, **options}
    world = make_world(count, contract=with_line, make=casting({}, around), **rules)
    world.run_epochs(epochs)
    return world


def moving(count: int, movers: Collection[int], releases: int, manifest: Manifest, *, seed: int = 1) -> Around:
    """Has the first of the members of a world publish version 1, and the `movers` serve it; see `line_world`."""
    keys = [sign.public_key(each) for each in seeds(count, f"world-{seed}")]
    follow = {keys[number] for number in movers}
    done: set[bytes] = set()

    def around(actor: Actor, event: Event, now_ms: int, handle: Handle) -> list[Any]:
        context, effects = actor.machine.context, list[Any]()
        if context.params.epoch_at(now_ms) >= releases and context.may_write(now_ms) and actor.key not in done:
            done.add(actor.key)
            if actor.key == keys[0]:
                payload = signed_release(context.network, manifest).encode()
                effects += context.write(Kind.RELEASE, payload, now_ms)
            if actor.key in follow:
                actor.machine._parts.mover._follows = True
                effects += handle(VersionHeld(HeldModel(manifest, 4096)), now_ms)
        return [*effects, *handle(event, now_ms)]

    return around


@cache
def overlap_world() -> World:
    """Six members in the overlap of two versions. MOVED serve version 1, the others version 0."""
    return line_world(6, 8.5, movers=MOVED, slots_milli=2500)
