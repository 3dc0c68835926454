"""A client's receipt as a document: what was asked, who answered what, the signed bytes, and what was checked."""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.reports.documents.scores import StandingName
from p2pverify.node.reports.documents.shape import CLASS, ApiDocument, Count, Ratio

ReceiptState = Literal["asking", "answered", "failed"]
EventName = Literal["asked", "failed", "answered", "compared", "checked", "audited"]
ComparedName = Literal["agrees", "differs", "not compared"]
#: What a node checks of each answer before a client gets its last byte.
CHECKED = ("signature", "commitment", "class", "standing")
#: Besides, if this node has scored an answer of its own class: whether each token is the one that its engine picks.
RECOMPUTED, DIFFERS = "recomputed", "differs"


@dataclass(frozen=True, kw_only=True)
class AskedQuestion:
    """Everything on which the answer depends."""

    id: str
    manifest: str
    prompt: tuple[int, ...]
    tokens_max: Count
    temperature_milli: Count
    seed: str
    requester: str


@dataclass(frozen=True, kw_only=True)
class ClientAnswer:
    """One answer, and the standing of the peer that gave it in the newest final view."""

    index: Count
    peer_id: str
    own: bool = field(metadata={"description": "whether this node answered, with its own engine"})
    standing: StandingName | None
    low: Ratio
    high: Ratio
    audits: Count
    class_: str = field(metadata=CLASS)
    cut: str = field(metadata={"description": "the cut of the view"})
    cut_epoch: int
    question: AskedQuestion
    tokens: tuple[int, ...]
    finish: Literal["stop", "length"]
    logits: str = field(metadata={"description": "SHA-256 over the rows of logits; zeroes if the engine has none"})
    text: str
    request: str = field(metadata={"description": "the signed request, in hex: see protocol/request.md"})
    response: str = field(metadata={"description": "the answer with its signed receipt, in hex"})
    passport: str | None = field(
        metadata={"description": "the responder's passport, in hex: see protocol/passport.md; null if there was none"}
    )
    receipt_token_count: Count
    queue_ms: Count
    first_token_ms: Count
    total_ms: Count
    elapsed_ms: Count
    checked: tuple[str, ...]
    returned: bool = field(metadata={"description": "whether the client got this answer"})
    compared: ComparedName | None = field(
        metadata={
            "description": "how it stands to the answer that the client got, or without a majority to the other "
            "answers; null if it was not part of a full check"
        }
    )


@dataclass(frozen=True, kw_only=True)
class FullCheckDocument:
    """A full check in numbers: how many peers were to answer, how many did, and how their answers compare."""

    index: Count
    panel: Count
    answers: Count
    agree: Count = field(metadata={"description": "answers that agree with the one that the client got, with itself"})
    differ: Count
    not_compared: Count
    majority: bool = field(metadata={"description": "whether more than half of the panel agree"})


@dataclass(frozen=True, kw_only=True)
class AnswerCost:
    """What the answers of other peers cost by the network's tariff, in millionths of its unit."""

    unit: str
    price: Count = field(metadata={"description": "of one answer"})
    answers: Count = field(metadata={"description": "answers of other peers, also of those in a full check"})
    total: Count


@dataclass(frozen=True, kw_only=True)
class ReceiptEvent:
    """Something that happened: when, to which answer, with which peer, and why."""

    at_ms: Count
    event: EventName
    index: Count
    peer_id: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class ReceiptDocument(ApiDocument):
    """The receipt of one request of a client."""

    schema: Literal["p2pverify/client-receipt/1"]
    id: str
    state: ReceiptState
    network: str
    model: str
    endpoint: str
    created_ms: Count
    finished_ms: Count | None
    panel: Count = field(metadata={"description": "the client's policy: peers that answer a full check"})
    every: Count = field(metadata={"description": "requests in a window, of which one is a full check"})
    checks: tuple[FullCheckDocument, ...]
    answers: tuple[ClientAnswer, ...]
    events: tuple[ReceiptEvent, ...]
    cost: AnswerCost | None = field(
        default=None, metadata={"description": "what it cost; null in a network without a tariff"}
    )

    def returned(self, index: int) -> ClientAnswer:
        """The answer to a question that the client got. Raises StopIteration if there is none."""
        return next(one for one in self.answers if one.index == index and one.returned)


@dataclass(frozen=True, kw_only=True)
class ReceiptEvents(ApiDocument):
    """What has happened so far to one request of a client."""

    schema: Literal["p2pverify/client-receipt-events/1"]
    id: str
    state: ReceiptState
    events: tuple[ReceiptEvent, ...]
