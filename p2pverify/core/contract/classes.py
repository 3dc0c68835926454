"""The determinism classes of a network, and how a referee judges their answers."""

from dataclasses import dataclass

from p2pverify.core.contract.pool import Pool, pool_value, read_pool
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_text, as_uint
from p2pverify.core.errors import DecodeError

#: Engine and numeric path of the class for peers of unknown class; their answers are never compared by digest.
ANY = "*"
THRESHOLD_MAX = 2**32 - 1


#: The greatest values of the numbers of `Across`, in its order. The margin of a missing end is greater than any
#: `end_max`.
ACROSS_BOUNDS: tuple[tuple[str, int], ...] = (
    ("match_base", THRESHOLD_MAX),
    ("match_slope", THRESHOLD_MAX),
    ("mismatch_base", THRESHOLD_MAX),
    ("mismatch_slope", THRESHOLD_MAX),
    ("end_max", THRESHOLD_MAX - 1),
    ("honest_ppm", 999_998),
)


@dataclass(frozen=True, slots=True)
class Across:
    """How the referee judges answers of a class; fields in wire order. `inference.compare` defines the measure.

    An answer of n tokens is a match if its total is at most match_base + match_slope * n. It is a mismatch if its total
    is above mismatch_base + mismatch_slope * n, or if the margin of its end is greater than `end_max`. Totals are in
    1e-6 square nats, margins in micronats. `honest_ppm` is the mismatch rate allowed to an honest peer, in parts
    per million. `pool` has the bets of the pooled test, None if there is no such test of the class.
    """

    match_base: int
    match_slope: int
    mismatch_base: int
    mismatch_slope: int
    end_max: int
    honest_ppm: int
    pool: Pool | None = None

    def match_total(self, count: int) -> int:
        """The greatest total of a match, for `count` tokens."""
        return self.match_base + self.match_slope * count

    def mismatch_total(self, count: int) -> int:
        """The greatest total that is no mismatch, for `count` tokens."""
        return self.mismatch_base + self.mismatch_slope * count


@dataclass(frozen=True, slots=True)
class DeterminismClass:
    """A code path in which equal inputs give equal bits.

    `honest_ppm` is the mismatch rate that an honest peer of the class is allowed, in parts per million, where digests
    are compared. `across` is None if its answers are never judged by a referee.
    """

    name: str
    manifest: bytes
    engine: str
    numeric_path: str
    honest_ppm: int
    across: Across | None = None

    @property
    def is_any(self) -> bool:
        """Whether this is the class for peers of unknown class."""
        return self.engine == ANY

    def to_value(self) -> list[object]:
        across = across_value(self.across)
        return [self.name, self.manifest, self.engine, self.numeric_path, self.honest_ppm, across]


def read_class(value: Value, manifests: tuple[bytes, ...]) -> DeterminismClass:
    """A class of a network that lists these manifests (32 B each). Raises DecodeError."""
    name, manifest, engine, path, honest, across = as_array(value, "class", length=6)
    found = DeterminismClass(
        as_text(name, "class name", 64),
        as_bytes(manifest, "class manifest", size=32),
        as_text(engine, "class engine", 128),
        as_text(path, "class numeric path", 128),
        as_uint(honest, "honest_ppm", 999_998),
        read_across(across),
    )
    if found.honest_ppm == 0:
        raise DecodeError("honest_ppm is 0: nothing is certain")
    if found.manifest not in manifests:
        raise DecodeError("a class names a manifest that the network does not list")
    if (found.engine == ANY) != (found.numeric_path == ANY):
        raise DecodeError("engine and numeric path are both unknown or both known")
    if found.is_any and found.across is None:
        raise DecodeError("a class of unknown engine is judged across classes or not at all")
    return found


def across_value(across: Across | None) -> list[object] | None:
    """Thresholds in wire order, None if there are none."""
    if across is None:
        return None
    return [*(getattr(across, name) for name, _ in ACROSS_BOUNDS), pool_value(across.pool)]


def read_across(value: Value) -> Across | None:
    """Thresholds, or None if there are none. Raises DecodeError."""
    if value is None:
        return None
    *numbers, pool = as_array(value, "across", length=len(ACROSS_BOUNDS) + 1)
    bounds = {name: as_uint(number, name, high) for (name, high), number in zip(ACROSS_BOUNDS, numbers, strict=True)}
    found = Across(**bounds, pool=read_pool(pool))
    if found.honest_ppm == 0:
        raise DecodeError("honest_ppm is 0: nothing is certain")
    if found.match_base > found.mismatch_base or found.match_slope > found.mismatch_slope:
        raise DecodeError("what matches would be a mismatch as well")
    return found
