"""Floors: where logs begin for a peer that needs no older records, and the effect that tells its disk of them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Floor:
    """The last record of a log that a cut holds, below which the log is not asked for any more.

    `since` is the number at which the epoch of that record began in this log.
    """

    seq: int
    id: bytes
    epoch: int
    since: int


@dataclass(frozen=True, slots=True)
class Prune:
    """Records are settled. Keep this on disk, so that a start needs only what is above it.

    `cuts` and `states` are a base (`core.replica.base.Base`): the newest cuts of the path, oldest first, and the bytes
    of their states. `floors` are those of the ledger, by author. With `forgets` records at or below a floor may go from
    the disk, except `named` ones (ids), and all records of the authors that are `gone`.
    """

    cuts: tuple[bytes, ...]
    states: tuple[bytes, ...]
    floors: Mapping[bytes, Floor]
    named: tuple[bytes, ...] = ()
    gone: tuple[bytes, ...] = ()
    forgets: bool = True
