"""The vote on the result of a round: a voter seals the digest of its result, and opens it with the whole result.

Protocol pages: protocol/round-commit.md, round-vote.md.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import as_bytes, digest, encode
from p2pverify.core.encoding.decode_once import remembered
from p2pverify.core.records.envelope import Header, Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.records.payloads.rounds.place import RoundPlace, check_line, commitment_in, read_place
from p2pverify.core.training.result import RoundResult, read_result

ROUND_SEAL_DOMAIN = "p2pverify/round-seal/1"


@dataclass(frozen=True, slots=True)
class RoundCommit:
    """A voter's sealed result. `certificate` is a certified cut that closed the opening of updates."""

    place: RoundPlace
    certificate: bytes
    commit: bytes

    def encode(self) -> bytes:
        return encode([*self.place.to_value(), self.certificate, self.commit])


@dataclass(frozen=True, slots=True)
class RoundVote:
    """A voter's opened result. `certificate` is a certified cut that closed the sealing and holds the commit."""

    place: RoundPlace
    certificate: bytes
    result: RoundResult
    salt: bytes

    def encode(self) -> bytes:
        return encode([*self.place.to_value(), self.certificate, self.result.to_value(), self.salt])


def round_commit(network: bytes, place: RoundPlace, voter: bytes, output: bytes, salt: bytes) -> bytes:
    """A voter's commitment (32 B) to the digest of its result."""
    return digest([ROUND_SEAL_DOMAIN, network, *place.to_value(), voter, output, salt])


def decode_round_commit(payload: bytes) -> RoundCommit:
    """Read the payload of a round commit. Raises DecodeError."""
    return RoundCommit(*commitment_in(payload, "round-commit"))


@remembered(512)
def decode_round_vote(payload: bytes) -> RoundVote:
    """Read the payload of a round vote. Raises DecodeError."""
    line, number, certificate, result, salt = read_fields(payload, "round-vote", 5)
    return RoundVote(
        read_place(line, number),
        as_bytes(certificate, "certificate", size=32),
        read_result(result),
        as_bytes(salt, "salt", size=32),
    )


def _claim_of_commit(header: Header, payload: bytes) -> tuple[object, bytes]:
    commit = decode_round_commit(payload)
    return (header.kind, commit.place), commit.commit


def _claim_of_vote(header: Header, payload: bytes) -> tuple[object, bytes]:
    vote = decode_round_vote(payload)
    return (header.kind, vote.place), vote.result.digest


def _check_commit(commit: RoundCommit, _record: Record, rules: Rules) -> None:
    # [REJECT] The definition has the line, and it has a training rule.
    check_line(commit.place, rules)


def _check_vote(vote: RoundVote, _record: Record, rules: Rules) -> None:
    # [REJECT] The definition has the line, and it has a training rule.
    check_line(vote.place, rules)


ROUND_COMMIT_RULE = KindRule(
    Kind.ROUND_COMMIT, lambda _header, payload: decode_round_commit(payload), _check_commit, claim=_claim_of_commit
)
ROUND_VOTE_RULE = KindRule(
    Kind.ROUND_VOTE, lambda _header, payload: decode_round_vote(payload), _check_vote, claim=_claim_of_vote
)
