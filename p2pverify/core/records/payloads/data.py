"""Data sets, erasures and statements: what an owner says of data that stays off the ledger.

Only salted commitments and public facts stand here. Protocol pages: protocol/dataset.md, erasure.md, statement.md.
"""

import re
from dataclasses import dataclass

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_text, as_uint, check_sorted, decode, encode
from p2pverify.core.errors import DecodeError, GossipReject
from p2pverify.core.records.envelope import EPOCH_MAX, PAYLOAD_BYTES_MAX, Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.training.terms import OFFERED_ROWS_MAX, TrainingTerms, read_terms

STATEMENT_DOMAIN = "p2pverify/statement/1"
PARENTS_MAX = 8
DATA_ROWS_MAX = 2**32 - 1
LICENCE_BYTES_MAX = 128
PROFILE_BYTES_MAX = 64
#: Why data of people may be used (GDPR, Art. 6), by its number on the wire; 0: it is not about people.
BASES = ("none", "consent", "contract", "legal-obligation", "vital-interests", "public-task", "legitimate-interests")
#: Why rows were erased, by the number on the wire.
ERASURE_CODES = ("other", "request", "consent-withdrawn", "retention-over", "mistake")
_DATASET_ITEMS = 9  # without terms
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:() -]*")
_PROFILE = re.compile(r"[a-z0-9][a-z0-9./-]*")


@dataclass(frozen=True, slots=True)
class Dataset:
    """The author has rows, and says how they may be used; fields in wire order.

    `root` is the Merkle root over the commitments to its `rows` rows. `schema` is the digest of their schema. `parents`
    are data sets (ids of records, or roots) from which these rows were made, and `recipe` is the digest of how. `card`
    is the commitment to a description for people. The author offers the rows before the epoch `until`, for training
    rounds if there are `terms` for them. Without terms, the payload has no item for them.
    """

    root: bytes
    rows: int
    schema: bytes
    licence: str
    basis: int
    parents: tuple[bytes, ...]
    recipe: bytes | None
    card: bytes
    until: int
    terms: TrainingTerms | None = None

    def encode(self) -> bytes:
        head = [self.root, self.rows, self.schema, self.licence, self.basis]
        terms = [] if self.terms is None else [self.terms.to_value()]
        return encode([*head, list(self.parents), self.recipe, self.card, self.until, *terms])


@dataclass(frozen=True, slots=True)
class Erasure:
    """The author has erased rows of its data set: the record `dataset` now has `rows` rows with this `root`."""

    dataset: bytes
    root: bytes
    rows: int
    code: int

    def encode(self) -> bytes:
        return encode([self.dataset, self.root, self.rows, self.code])


@dataclass(frozen=True, slots=True)
class CoSignature:
    """The signature of another party over a statement."""

    key: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """The author says something of a subject. `profile` names the form of the document to which it is committed."""

    profile: str
    subject: bytes
    commit: bytes
    parents: tuple[bytes, ...]
    co_signature: CoSignature | None = None

    def encode(self) -> bytes:
        with_ = None if self.co_signature is None else [self.co_signature.key, self.co_signature.signature]
        return encode([self.profile, self.subject, self.commit, list(self.parents), with_])

    def signed_bytes(self, network: bytes, author: bytes) -> bytes:
        """What the other party signs: the statement, its author and their network."""
        said = [self.profile, self.subject, self.commit, list(self.parents)]
        return encode([STATEMENT_DOMAIN, network, author, *said])

    def is_cosigned(self, network: bytes, author: bytes) -> bool:
        """Whether the other party's signature holds. There must be one."""
        other = self.co_signature
        return other is not None and sign.verify(other.key, self.signed_bytes(network, author), other.signature)


def decode_dataset(payload: bytes) -> Dataset:
    """Read the payload of a data set. Raises DecodeError."""
    items = as_array(decode(payload, size_max=PAYLOAD_BYTES_MAX, depth_max=8), "dataset", length_max=_DATASET_ITEMS + 1)
    if len(items) < _DATASET_ITEMS:
        raise DecodeError("dataset: too few items")
    root, rows, schema, licence, basis, parents, recipe, card, until = items[:_DATASET_ITEMS]
    found = Dataset(
        as_bytes(root, "root", size=32),
        as_uint(rows, "rows", DATA_ROWS_MAX),
        as_bytes(schema, "schema", size=32),
        as_text(licence, "licence", LICENCE_BYTES_MAX),
        as_uint(basis, "basis", len(BASES) - 1),
        _parents(parents),
        None if recipe is None else as_bytes(recipe, "recipe", size=32),
        as_bytes(card, "card", size=32),
        as_uint(until, "until", EPOCH_MAX),
        read_terms(items[_DATASET_ITEMS]) if len(items) > _DATASET_ITEMS else None,
    )
    if not found.rows:
        raise DecodeError("rows: none")
    if found.terms is not None and found.terms.held >= found.rows:
        raise DecodeError("all rows are held out of training")
    if found.terms is not None and found.rows > OFFERED_ROWS_MAX:
        raise DecodeError("too many rows for training rounds")
    if not is_licence(found.licence):
        raise DecodeError("licence: not an SPDX expression")
    return found


def is_licence(text: str) -> bool:
    """Whether a text has the characters of an SPDX licence expression. Its names are not looked up."""
    return _LICENCE.fullmatch(text) is not None and len(text) <= LICENCE_BYTES_MAX


def is_profile(text: str) -> bool:
    """Whether a text can name the form of a statement's document."""
    return _PROFILE.fullmatch(text) is not None and len(text) <= PROFILE_BYTES_MAX


def decode_erasure(payload: bytes) -> Erasure:
    """Read the payload of an erasure. Raises DecodeError."""
    dataset, root, rows, code = read_fields(payload, "erasure", 4)
    return Erasure(
        as_bytes(dataset, "dataset", size=32),
        as_bytes(root, "root", size=32),
        as_uint(rows, "rows", DATA_ROWS_MAX),
        as_uint(code, "code", len(ERASURE_CODES) - 1),
    )


def decode_statement(payload: bytes) -> Statement:
    """Read the payload of a statement. Raises DecodeError; the other party's signature is not checked here."""
    profile, subject, commit, parents, with_ = read_fields(payload, "statement", 5)
    other = None if with_ is None else as_array(with_, "with", length=2)
    found = Statement(
        as_text(profile, "profile", PROFILE_BYTES_MAX),
        as_bytes(subject, "subject", size=32),
        as_bytes(commit, "commit", size=32),
        _parents(parents),
        None
        if other is None
        else CoSignature(as_bytes(other[0], "key", size=32), as_bytes(other[1], "signature", size=64)),
    )
    if not is_profile(found.profile):
        raise DecodeError("profile: not a name in lower case")
    return found


def _parents(value: Value) -> tuple[bytes, ...]:
    items = as_array(value, "parents", length_max=PARENTS_MAX)
    parents = tuple(as_bytes(item, "parent", size=32) for item in items)
    check_sorted(parents, "parents")
    return parents


def _check_dataset(dataset: Dataset, record: Record, _rules: Rules) -> None:
    # [REJECT] The author offers the rows for an epoch after the record's.
    if dataset.until <= record.epoch:
        raise GossipReject("a data set that is over when it begins")


def _check_erasure(_erasure: Erasure, _record: Record, _rules: Rules) -> None:
    """Nothing to check: whose data set it is depends on other records."""


def _check_statement(statement: Statement, record: Record, rules: Rules) -> None:
    other = statement.co_signature
    if other is None:
        return
    # [REJECT] The other party is another key than the author.
    if other.key == record.author:
        raise GossipReject("a peer cannot be its own other party")
    # [REJECT] The other party signed the statement.
    if not statement.is_cosigned(rules.network_id, record.author):
        raise GossipReject("the other party's signature does not hold")


DATASET_RULE = KindRule(Kind.DATASET, lambda _header, payload: decode_dataset(payload), _check_dataset)
ERASURE_RULE = KindRule(Kind.ERASURE, lambda _header, payload: decode_erasure(payload), _check_erasure)
#: A statement can cost a second check, of the other party's signature.
STATEMENT_RULE = KindRule(
    Kind.STATEMENT, lambda _header, payload: decode_statement(payload), _check_statement, checks=lambda _size: 2
)
