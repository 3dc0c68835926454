"""Events that a machine takes, and effects that it returns: small frozen dataclasses. Times are Unix milliseconds.

A list of effects is ordered: Persist comes before the reply, and the reply before Publish. If an effect fails, the
effects after it must not be carried out.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TypeVar

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.inference.question import Question
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.floors import Prune
from p2pverify.core.records.payloads.report import AnswerReport, Report
from p2pverify.core.settle.exchange import AnswerTaken, ChequeArrived, Pay, StoredCredit
from p2pverify.core.training.orders import TrainingOrder, TrainingOutcome

OWN, REFEREE = "own", "referee"
_T = TypeVar("_T")

# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class RecordsArrived:
    """Records' bytes that a sync session brought. This peer asked for them, so they are charged to nobody."""

    records: tuple[bytes, ...]
    source: bytes


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """The records' bytes of one gossip message, and the neighbour that sent it."""

    records: tuple[bytes, ...]
    source: bytes


@dataclass(frozen=True, slots=True)
class GossipArrived:
    """Gossip messages came. Each is charged to the share of its neighbour, and gets a verdict of its own."""

    batches: tuple[RecordBatch, ...]

    @property
    def records(self) -> tuple[bytes, ...]:
        return tuple(data for batch in self.batches for data in batch.records)


@dataclass(frozen=True, slots=True)
class RequestArrived:
    """An inference request. `ticket` names the waiting stream; it gives up after `waits_ms`, None if unknown."""

    ticket: int
    data: bytes
    source: bytes
    waits_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Computed:
    """The engine finished a job. `prompt` is the token ids of the prompt that was answered or written."""

    job: int
    prompt: tuple[int, ...]
    output: Output
    queue_ms: int
    first_token_ms: int
    total_ms: int


@dataclass(frozen=True, slots=True)
class MeasureDone:
    """The referee scored a claimed answer: the margin of each token in micronats, and whether the token ends an answer.

    Both are empty if the model does not know one of the tokens.
    """

    job: int
    deficits: tuple[int, ...]
    ends: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class ComputeFailed:
    """An engine did not do a job, of answering or of scoring.

    `is_dropped`: the job was not begun, because it would have ended too late or too many jobs waited. The engine has no
    fault then.
    """

    job: int
    reason: str
    is_dropped: bool = False


@dataclass(frozen=True, slots=True)
class TrainingDone:
    """An order of a training round was carried out, or could not be."""

    job: int
    outcome: TrainingOutcome


@dataclass(frozen=True, slots=True)
class ResponseArrived:
    """The response to a sent request, or the fetched evidence.

    `elapsed_ms` is the time from sending the request to receiving the response, less the round trip.
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
class SponsorPeer:
    """The operator wants this peer to stand for a newcomer (its key)."""

    peer: bytes


@dataclass(frozen=True, slots=True)
class HeldModel:
    """A model that this peer's engine runs, with its manifest.

    `context_tokens` is the most tokens that the engine can hold, and `vocab_tokens` the number of tokens that it knows
    (None: any).
    """

    manifest: Manifest
    context_tokens: int
    vocab_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class VersionHeld:
    """The engine of another version of this peer's model is ready."""

    model: HeldModel


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """The operator wants this peer to sign a record of a data set, an erasure or a statement.

    The `ticket` gets the outcome once the record is on disk: see `publisher.outcome_of`.
    """

    ticket: int
    kind: Kind
    payload: bytes


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """A wrong answer that a client got: its report, and the question, which the seats alone see if it `is_private`."""

    report: AnswerReport
    question: Question
    is_private: bool = False

    @property
    def said(self) -> Report:
        """What the record says."""
        return self.report.hidden if self.is_private else self.report


@dataclass(frozen=True, slots=True)
class Synced:
    """A sync session with this neighbour completed: we hold all records that it held."""

    peer: bytes


@dataclass(frozen=True, slots=True)
class TwinMet:
    """Another process proved that it holds our own key; `where` says for people where it runs."""

    where: str


#: What the operator wants, or what the node has found for its clients or made ready.
Order = Leave | SponsorPeer | WriteRecord | WrongAnswer | VersionHeld | TrainingDone | AnswerTaken

Event = (
    Tick
    | RecordsArrived
    | GossipArrived
    | RequestArrived
    | Computed
    | MeasureDone
    | ComputeFailed
    | ResponseArrived
    | AskFailed
    | ChequeArrived
    | Order
    | Synced
    | TwinMet
)

# ---------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer that a responder must store before it sends the receipt, and the epoch in which it was given."""

    requester: bytes
    question: bytes
    output: Output
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """The answer that a challenger must store before it publishes its audit of a slot across classes."""

    epoch: int
    slot: int
    responder: bytes
    output: Output


@dataclass(frozen=True, slots=True)
class Persist:
    """Write to disk; later effects in the list wait for it. Evidence of epochs before `evidence_from` may go."""

    records: tuple[Record, ...] = ()
    answers: tuple[StoredAnswer, ...] = ()
    evidence: tuple[StoredEvidence, ...] = ()
    evidence_from: int = 0
    credit: tuple[StoredCredit, ...] = ()


@dataclass(frozen=True, slots=True)
class Publish:
    """Gossip records' bytes."""

    records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Follow:
    """Let the request of a ticket hear the tokens of a job, as they are made. They are no answer before `Respond`."""

    ticket: int
    job: int


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer the request of a ticket. `tokens` are the tokens in an answer."""

    ticket: int
    data: bytes
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request to a peer, and give up at a deadline. An answer has at most `tokens_max` tokens."""

    ask: int
    peer: bytes
    data: bytes
    deadline_ms: int
    tokens_max: int = 0


@dataclass(frozen=True, slots=True)
class FetchEvidence:
    """Ask a peer for evidence in a dispute, and give up at a deadline."""

    ask: int
    peer: bytes
    data: bytes
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Compute:
    """A job for an engine: write a prompt from a seed if there is one, then answer if `ask.tokens_max` > 0.

    A written prompt takes the place of the prompt of `ask`, which is empty then. With a `context_tokens` above 0, the
    prompt and its answer have at most so many tokens together. A result after `deadline_ms` is useless. `role` says
    which engine: this peer's "own", or the network's "referee". `model` is the digest (32 B) of the manifest of the
    model that it runs.
    """

    job: int
    purpose: Purpose
    deadline_ms: int
    ask: Ask
    prompt_seed: bytes | None = None
    prompt_tokens: int = 0
    role: str = OWN
    context_tokens: int = 0
    model: bytes = bytes(32)

    def asked(self, prompt: tuple[int, ...]) -> Ask:
        """The question with the prompt that was written for it."""
        most = self.ask.tokens_max
        if self.context_tokens:
            most = min(most, max(1, self.context_tokens - len(prompt)))
        return replace(self.ask, prompt=prompt, tokens_max=most)


@dataclass(frozen=True, slots=True)
class MeasureJob:
    """A job for the referee: score the tokens that a peer claims as its answer. `model` is as for `Compute`."""

    job: int
    purpose: Purpose
    deadline_ms: int
    ask: Ask
    tokens: tuple[int, ...]
    model: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Carry out an order of a training round; `TrainingDone` comes back. It takes no time of the engine."""

    job: int
    order: TrainingOrder


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts on what arrived: one on each gossip message, in their order, or one on all that a session brought.

    `accept` says that something was new and nothing was passed over, `reject` that whoever sent it is to blame.
    `reasons` are those of all records that were judged and refused, `faults` those for which the sender is to blame.
    """

    verdicts: tuple[GossipVerdict, ...]
    reasons: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


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


Effect = (
    Persist
    | Prune
    | Publish
    | Follow
    | Respond
    | Send
    | FetchEvidence
    | Pay
    | Compute
    | MeasureJob
    | TrainingJob
    | Judged
    | Finalised
    | Note
)

#: The effects of a method, in order, and then its result. The method runs only while a caller takes its effects.
Effects = Generator[Effect, None, _T]
