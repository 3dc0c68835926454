"""What happens to a machine, and what it wants done. Small frozen facts; times are Unix milliseconds.

An effect list is ordered: what is persisted comes before the reply, and the reply before what is published. If an
effect fails, those after it must not be carried out.
"""

from dataclasses import dataclass

from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.records.envelope import Record

OWN, REFEREE = "own", "referee"

# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class RecordsArrived:
    """A batch of records' bytes from a peer, by gossip or by catch-up."""

    records: tuple[bytes, ...]
    source: bytes


@dataclass(frozen=True, slots=True)
class RequestArrived:
    """An inference request. `ticket` names the waiting stream, which is given up after `waits_ms`, if that is known."""

    ticket: int
    data: bytes
    source: bytes
    waits_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Computed:
    """The engine finished a job. `prompt` are the token ids that were answered or written, `logits` the digest of the
    answer's logits, zeroes if the engine has none.
    """

    job: int
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    finish: str
    queue_ms: int
    first_token_ms: int
    total_ms: int
    logits: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class MeasureDone:
    """The referee scored a claimed answer: how far each token lies below its best in micronats, and which end it.

    Without items there was a token that the model does not know.
    """

    job: int
    deficits: tuple[int, ...]
    ends: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class ComputeFailed:
    """An engine could not do a job, be it to answer or to score. `is_dropped`: it was not even begun, as it would have
    ended too late or too many waited; so nothing is wrong with the engine.
    """

    job: int
    reason: str
    is_dropped: bool = False


@dataclass(frozen=True, slots=True)
class ResponseArrived:
    """The response to a sent request, or the evidence that was fetched. `elapsed_ms`: from the request's leaving to
    the response's coming, less what the way there and back takes.
    """

    ask: int
    data: bytes
    elapsed_ms: int = 0


@dataclass(frozen=True, slots=True)
class AskFailed:
    """A sent request got no response, or there was no evidence to fetch."""

    ask: int
    reason: str


@dataclass(frozen=True, slots=True)
class Leave:
    """The operator wants to leave the network."""


@dataclass(frozen=True, slots=True)
class Synced:
    """A sync session with this neighbour completed: we hold all that it held."""

    peer: bytes


@dataclass(frozen=True, slots=True)
class TwinMet:
    """Another process proved to hold our own key; `where` it is, for people."""

    where: str


Event = (
    Tick
    | RecordsArrived
    | RequestArrived
    | Computed
    | MeasureDone
    | ComputeFailed
    | ResponseArrived
    | AskFailed
    | Leave
    | Synced
    | TwinMet
)

# ---------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a responder must remember before its receipt leaves."""

    requester: bytes
    question: bytes
    tokens: tuple[int, ...]
    finish: str
    logits: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """What a challenger must remember of an answer in an across slot before its audit is published."""

    epoch: int
    slot: int
    responder: bytes
    tokens: tuple[int, ...]
    finish: str
    logits: bytes


@dataclass(frozen=True, slots=True)
class Persist:
    """Write to disk; what follows in the list waits for it. Evidence of epochs before `evidence_from` may go."""

    records: tuple[Record, ...] = ()
    answers: tuple[StoredAnswer, ...] = ()
    evidence: tuple[StoredEvidence, ...] = ()
    evidence_from: int = 0


@dataclass(frozen=True, slots=True)
class Publish:
    """Gossip records' bytes."""

    records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer the request of a ticket."""

    ticket: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request to a peer, and give up at a deadline."""

    ask: int
    peer: bytes
    data: bytes
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class FetchEvidence:
    """Ask a peer for evidence in a dispute, and give up at a deadline."""

    ask: int
    peer: bytes
    data: bytes
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Compute:
    """A job for an engine: write a prompt from a seed if there is one, then answer if `tokens_max` > 0.

    What ends after `deadline_ms` is of no use. `role` says which engine: this peer's "own", or the network's "referee".
    """

    job: int
    purpose: Purpose
    deadline_ms: int
    prompt_seed: bytes | None
    prompt_tokens: int
    prompt: tuple[int, ...]
    tokens_max: int
    temperature_milli: int
    sampler_key: bytes
    role: str = OWN


@dataclass(frozen=True, slots=True)
class MeasureJob:
    """A job for the referee: how well the claimed tokens follow from the prompt."""

    job: int
    purpose: Purpose
    deadline_ms: int
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    temperature_milli: int
    sampler_key: bytes


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on a batch: `accept` (something was new), `ignore`, or `reject`, and each refusal's reason.

    `refused` are the places of the refused records in the batch, in the order of the reasons, and `rejected` those of
    them for which whoever sent them is to blame: so each of several messages that were judged as one has its verdict.
    """

    verdict: str
    reasons: tuple[str, ...]
    refused: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finalised:
    """A cut became final here."""

    cut: bytes
    epoch: int


@dataclass(frozen=True, slots=True)
class Note:
    """Something an operator may want to know."""

    level: str  # info, warning
    text: str


Effect = Persist | Publish | Respond | Send | FetchEvidence | Compute | MeasureJob | Judged | Finalised | Note
