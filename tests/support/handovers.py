"""Handovers in test networks: peers that join with a next key, and the records of their changes of keys."""

from collections.abc import Iterable

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import box, sign, vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.records.payloads.keys.handover import Handover, HandoverObject, Keys, next_digest, sign_consent
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.state.keys.take import delay, signed_delay
from p2pverify.core.state.state import Member, State
from tests.support.book import Book

#: Epochs of a handover without the signature of the old key, in these networks.
COLD_EPOCHS = 20


def next_seed(seed: bytes) -> bytes:
    """The seed of the key to which a test peer commits."""
    return sha256(b"next" + seed)


def keys_of(seed: bytes) -> Keys:
    """The keys of a test peer, with its next key."""
    box_key = box.public_key(box.derive_secret(seed))
    return Keys(next_digest(sign.public_key(next_seed(seed))), vrf.public_key(vrf.derive_seed(seed)), box_key)


def join_of(seed: bytes, class_index: int = 0) -> Join:
    keys = keys_of(seed)
    return Join(class_index, keys.vrf_key, "", keys.box_key, keys.next_key)


class Changes:
    """A book in which founders have joined with next keys. All that have weight sign each cut."""

    def __init__(self, network: Network, founders: Iterable[bytes], book: Book | None = None) -> None:
        self.network = network
        self.book = Book(network) if book is None else book
        self.seeds = {sign.public_key(seed): seed for seed in founders}
        self.epoch = 1
        for seed in self.seeds.values():
            self.book.say(seed, Kind.JOIN, join_of(seed).encode(), self.epoch)
        self.cut()

    @property
    def latest(self) -> State:
        return self.book.fold.latest

    def row(self, seed: bytes) -> Member:
        return self.latest.members[sign.public_key(seed)]

    def say(self, seed: bytes, kind: Kind, payload: bytes) -> Record:
        self.seeds.setdefault(sign.public_key(seed), seed)
        return self.book.say(seed, kind, payload, self.epoch)

    def head(self, seed: bytes) -> Head:
        """The newest head of a peer's log in the newest cut."""
        return self.latest.heads[sign.public_key(seed)]

    def hand_over(
        self, old: bytes, *, new: bytes | None = None, consent: bool = True, head: tuple[int, bytes] | None = None
    ) -> Record:
        """A handover from a peer to its next key, or to another one."""
        seed = next_seed(old) if new is None else new
        _, seq, record_id = self.head(old)
        keys = keys_of(seed)
        signed = sign_consent(old, self.network.id, sign.public_key(seed), keys) if consent else None
        said = Handover(sign.public_key(old), (seq, record_id) if head is None else head, keys, signed)
        return self.say(seed, Kind.HANDOVER, said.encode())

    def object(self, old: bytes, successor: bytes | None = None) -> Record:
        """The word of a peer against a handover to its next key, or to another one."""
        against = sign.public_key(next_seed(old) if successor is None else successor)
        return self.say(old, Kind.OBJECT, HandoverObject(against).encode())

    def cut(self, *, epoch: int | None = None) -> Record:
        """The next cut, one epoch later if no epoch is given, signed by all that have weight."""
        self.epoch = self.epoch + 1 if epoch is None else epoch
        members = self.latest.members
        signers = [seed for key, seed in sorted(self.seeds.items()) if key in members and members[key].weight]
        return self.book.step(signers[0], self.epoch, signers)

    def cuts(self, count: int) -> None:
        for _ in range(count):
            self.cut()

    def wait(self, *, consent: bool = True) -> None:
        """Make cuts until a handover of the newest cut has moved its row."""
        self.cuts(delay(self.network.params, is_signed=consent))

    @property
    def cuts_of_delay(self) -> int:
        return signed_delay(self.network.params)
