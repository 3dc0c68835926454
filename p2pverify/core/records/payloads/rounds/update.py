"""An update: its author opens its seal, once nobody can seal any more, and names the rows that it shows.

Protocol page: protocol/update.md.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import as_bytes, as_uint, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.records.payloads.rounds.place import RoundPlace, check_line, read_place
from p2pverify.core.records.payloads.rounds.seal import TRAINED_ROWS_MAX, Trained
from p2pverify.core.training.shown import SHOWN_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Update:
    """An opened update. `certificate` is a certified cut that closed the sealing and holds the seal.

    `shown` is the SHA-256 (32 B) of the blob with the rows that the round drew, of `shown_bytes` bytes.
    """

    place: RoundPlace
    certificate: bytes
    trained: Trained
    shown: bytes
    shown_bytes: int
    salt: bytes

    def encode(self) -> bytes:
        trained = [self.trained.update, self.trained.steps, self.trained.rows]
        return encode([*self.place.to_value(), self.certificate, *trained, self.shown, self.shown_bytes, self.salt])


def decode_update(payload: bytes) -> Update:
    """Read the payload of an update. Raises DecodeError."""
    line, number, certificate, update, steps, rows, shown, size, salt = read_fields(payload, "update", 9)
    found = Update(
        read_place(line, number),
        as_bytes(certificate, "certificate", size=32),
        Trained(
            as_bytes(update, "update", size=32),
            None if steps is None else as_bytes(steps, "steps", size=32),
            as_uint(rows, "rows", TRAINED_ROWS_MAX),
        ),
        as_bytes(shown, "shown rows", size=32),
        as_uint(size, "shown bytes", SHOWN_BYTES_MAX),
        as_bytes(salt, "salt", size=32),
    )
    if not found.trained.rows or not found.shown_bytes:
        raise DecodeError("an update without rows")
    return found


def _check(update: Update, _record: Record, rules: Rules) -> None:
    # [REJECT] The definition has the line, and it has a training rule.
    check_line(update.place, rules)


UPDATE_RULE = KindRule(Kind.UPDATE, lambda _header, payload: decode_update(payload), _check)
