"""What happens to a machine, and what it wants done. Small frozen facts; times are Unix milliseconds.

An effect list is ordered: what is persisted comes before the reply, and the reply before what is published. If an
effect fails, those after it must not be carried out.
"""

from dataclasses import dataclass

from p2pverify.core.records import Record

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
    """An inference request. `ticket` names the waiting stream."""

    ticket: int
    data: bytes
    source: bytes


@dataclass(frozen=True, slots=True)
class Computed:
    """The engine finished a job. `prompt` are the token ids that were answered or written."""

    job: int
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    finish: str
    queue_ms: int
    first_token_ms: int
    total_ms: int


@dataclass(frozen=True, slots=True)
class ComputeFailed:
    """The engine could not do a job."""

    job: int
    reason: str


@dataclass(frozen=True, slots=True)
class ResponseArrived:
    """The response to a sent request."""

    ask: int
    data: bytes


@dataclass(frozen=True, slots=True)
class AskFailed:
    """A sent request got no response."""

    ask: int
    reason: str


@dataclass(frozen=True, slots=True)
class Leave:
    """The operator wants to leave the network."""


Event = Tick | RecordsArrived | RequestArrived | Computed | ComputeFailed | ResponseArrived | AskFailed | Leave

# ---------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a responder must remember before its receipt leaves."""

    requester: bytes
    question: bytes
    tokens: tuple[int, ...]
    finish: str


@dataclass(frozen=True, slots=True)
class Persist:
    """Write to disk; what follows in the list waits for it."""

    records: tuple[Record, ...] = ()
    answers: tuple[StoredAnswer, ...] = ()


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
class Compute:
    """A job for the engine: write a prompt from a seed if there is one, then answer if `tokens_max` > 0.

    Lower `priority` goes first.
    """

    job: int
    priority: int
    prompt_seed: bytes | None
    prompt_tokens: int
    prompt: tuple[int, ...]
    tokens_max: int
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


Effect = Persist | Publish | Respond | Send | Compute | Judged | Finalised | Note
