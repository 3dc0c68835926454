"""What a state notes of lines. These are values only: `versions` reads them, and `take` computes the next ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.history.lines import Publishers
from p2pverify.core.records.payloads.lines.recall import Reason

#: Stands for the record of a release, of a version that a training round made.
NO_RELEASE = bytes(32)


@dataclass(frozen=True, slots=True)
class Version:
    """A counted release, or the result of a training round. Digests and ids have 32 bytes.

    `statement` is the digest of what the publishers in `signers` signed; of a round it is the digest of its result, and
    nobody signed. `bounds` has the thresholds of the referee for each class of the network, None where no answer of the
    version is judged across classes. `fed` are the data sets (ids of their records) whose rows are in it by the round
    that made it. `erased_epoch` is that of the cut in which rows of one of them were erased, or -1.
    """

    number: int
    manifest: bytes
    record: bytes
    statement: bytes
    signers: frozenset[bytes]
    parents: tuple[bytes, ...]
    announced_epoch: int
    bounds: tuple[Across | None, ...]
    recalled_epoch: int = -1
    reason: Reason = Reason.TWO_BODIES  # of the recall, if there was one
    fed: frozenset[bytes] = frozenset()
    erased_epoch: int = -1

    @property
    def is_trained(self) -> bool:
        """Whether a training round made it, and no publisher."""
        return self.record == NO_RELEASE

    @property
    def is_recalled(self) -> bool:
        return self.recalled_epoch >= 0

    @property
    def has_erased(self) -> bool:
        """Whether rows were erased on which it was trained."""
        return self.erased_epoch >= 0


@dataclass(frozen=True, slots=True)
class LineNotes:
    """One line. `versions` are sorted by number, without version 0; the oldest of many are forgotten.

    `newest` is the highest number that was used, also for two bodies of which none counts. `struck` are publishers that
    signed two bodies for one number. `votes` are the members that vote for a recall, by its number and `back_to`.
    """

    publishers: Publishers
    versions: tuple[Version, ...] = ()
    newest: int = 0
    rotations: int = 0
    struck: frozenset[bytes] = frozenset()
    votes: Mapping[tuple[int, int], frozenset[bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """The number of the version that a member serves, and of the one that it left, which it still can compute."""

    number: int
    left: int = 0


#: Of a member without a serve record.
AT_FIRST = ServedVersion(0)
