"""The ports: protocols that describe what the node needs from outside. The adapters implement them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.inference.compare import TokenScores
from p2pverify.core.records.envelope import Kind
from p2pverify.core.sync.session import SyncTurn
from p2pverify.node.data.documents import DatasetsDocument
from p2pverify.node.endpoints.reach import Reach
from p2pverify.node.lines.documents import FetchDocument, LinesDocument, ReleaseDocument, VersionsDocument
from p2pverify.node.reports.documents.audits import AuditsDocument
from p2pverify.node.reports.documents.blobs import BlobsDocument
from p2pverify.node.reports.documents.explained import ExplainedAudit
from p2pverify.node.reports.documents.me import MeDocument
from p2pverify.node.reports.documents.passport import PassportDocument
from p2pverify.node.reports.documents.peers import PeersDocument
from p2pverify.node.reports.documents.scores import ScoresDocument
from p2pverify.node.reports.documents.status import StatusDocument
from p2pverify.node.rules.documents import RulesDocument
from p2pverify.node.settle.documents import AccountsDocument, ChequesDocument, MovementsDocument
from p2pverify.node.snapshot.ports import StatePort
from p2pverify.node.training.documents import RoundsDocument

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

#: Abilities of an engine: answer, give the digest of its logits, score a claimed answer, write prompts.
GENERATE, LOGITS, SCORE, WRITE = "generate", "logits", "score", "write"
#: The weaker form of GENERATE: answer at temperature 0 only.
GREEDY = "greedy"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """An engine's description of itself: enough to find its determinism class, and its abilities (`can`)."""

    model: str  # human name, e.g. "SmolLM2-135M-Instruct Q4_1"
    weights_sha256: bytes  # 32 B
    tokenizer_sha256: bytes  # 32 B
    template_sha256: bytes  # 32 B, of the template's text
    engine: str  # build id, e.g. "llama.cpp/xllamacpp-2026.10.11549"
    numeric_path: str  # e.g. "x86-64-avx2/fa1/kv-q8_0"
    quantisation: str
    licence: str
    context_tokens: int
    vocab_tokens: int
    can: frozenset[str] = frozenset((GENERATE, WRITE))
    lanes: int = 1  # calls at a time; the engine gives each the same answer as alone


Hear = Callable[[Sequence[int]], None]
"""Takes the next tokens of an answer, in their order. It returns at once, and never raises."""


def unheard(_tokens: Sequence[int]) -> None:
    """The `Hear` of a caller that wants only the whole answer."""


@dataclass(frozen=True, slots=True)
class Generated:
    """An engine's answer, and the times in milliseconds until its first token and until its end."""

    output: Output
    first_token_ms: int
    total_ms: int


class Engine(Protocol):
    """Deterministic inference. Methods block; the node calls them in threads, at most `info.lanes` at a time.

    A method raises ValueError if `info.can` does not list its ability.
    """

    @property
    def info(self) -> ModelInfo: ...

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        """Token ids of a whole prompt, chat template included. The model writes the user's turn from a 16-byte seed."""
        ...

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        """Answer a question. Raises ValueError if it is empty, not in the vocabulary, or too long for the context.

        `hear` is called in this thread with the tokens as they are made. They are the first tokens of the answer. An
        engine that learns them late calls it late, or not at all.
        """
        ...

    def score(self, ask: Ask, tokens: Sequence[int]) -> TokenScores:
        """Score the tokens that another engine claims as its answer, in one pass over prompt and tokens.

        `ask.tokens_max` has no effect. Raises ValueError as `answer` does, and if the tokens are empty, not in the
        vocabulary, or too long for the context.
        """
        ...

    def encode_chat(self, text: str, system: str = "") -> tuple[int, ...]:
        """Token ids of a one-turn chat prompt in the model's own template, as a client's request has them.

        Without `system`, the system message is the template's own, if it has one. Raises ValueError if the template
        refuses the texts.
        """
        ...

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Token ids of a text without a template."""
        ...

    def decode(self, tokens: Sequence[int]) -> str: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A connected peer, as the network adapter sees it."""

    peer: bytes  # Ed25519 public key, 32 B
    address: str
    outbound: bool
    in_mesh: bool


class Inbox(Protocol):
    """The node's side of the network: the adapter calls it with what other peers send."""

    def judge(self, message: bytes, source: bytes) -> GossipVerdict:
        """Judge one gossip message (a batch of records) that the peer `source` forwarded. Never raises."""
        ...

    def is_member(self, peer: bytes) -> bool:
        """Whether a peer is a member in the newest final view. Members have priority when not all can be served."""
        ...

    async def serve(self, request: bytes, source: bytes, hear: Hear = unheard) -> bytes:
        """Answer one inference request; errors are answers too. Never raises RemoteProtocolError.

        `hear` gets the tokens as they are made, and all of them before an answer is returned. Until then they are no
        answer: a refusal can follow. A request of this peer's own key, addressed to itself, is served in the same way.
        """
        ...

    def evidence(self, request: bytes, source: bytes) -> bytes:
        """The answer to a peer that requests evidence in an open dispute. Raises RemoteProtocolError."""
        ...

    def passports(self, request: bytes, source: bytes) -> bytes:
        """The answer to a request for passports, of anybody. Raises RemoteProtocolError."""
        ...

    async def cheque(self, request: bytes, source: bytes) -> bytes:
        """The answer to a cheque of a client, once it is on disk. Raises RemoteProtocolError."""
        ...

    def sync_answer(self, request: bytes) -> bytes:
        """The answer to a neighbour's sync request. Raises RemoteProtocolError."""
        ...

    def sync_session(self, peer: bytes) -> "SyncSessionPort":
        """A session that fetches what we lack from a neighbour; one at a time with each."""
        ...

    async def take_records(self, records: Sequence[bytes], source: bytes) -> None:
        """Judge the records of a session and take the valid ones. Waits while the disk is busy."""
        ...

    def synced(self, peer: bytes) -> None:
        """A session with this neighbour has completed; its connection has proven the neighbour's key."""
        ...

    def met_twin(self, where: str) -> None:
        """Another process has proven to hold our own key; `where` is its address, as text for people."""
        ...


class SyncSessionPort(Protocol):
    """One session, as `core.sync.session` describes it."""

    def start(self) -> bytes:
        """The first request."""
        ...

    def receive(self, data: bytes) -> SyncTurn:
        """Read an answer. Raises RemoteProtocolError."""
        ...

    def end(self) -> None:
        """Called after the last records were taken."""
        ...

    def release(self) -> None:
        """Called when the session is over, however it ended."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether the session has ended and this peer holds all records of the neighbour."""
        ...

    @property
    def taken(self) -> int:
        """The number of new records from this session so far."""
        ...


class AskError(Exception):
    """A request got no answer; the reason is one word (unreachable, timeout, too-large, reset, busy, malformed ...).

    `detail` says more for people: it is the reason where there is nothing more to say.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason
        self.detail = detail or reason


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to a request, and the time that it took. `question.decode_response` checks the response.

    `elapsed_ms` is the time from sending the request to receiving the response, minus the connection's round trip; at
    least 1. `relayed`: it came through a relay, so that the time says little of the peer.
    """

    data: bytes
    elapsed_ms: int
    relayed: bool = False


class AskingPort(Protocol):
    """Asks other peers, for a node or for a light client."""

    async def ask(self, peer: bytes, request: bytes, *, tokens_max: int = 0, hear: Hear = unheard) -> Reply:
        """One inference request for at most `tokens_max` tokens, and its response. Raises AskError.

        `hear` gets the tokens as they come. They are no answer until the reply's receipt covers them. The caller sets
        the deadlines; `node.requests.asking` limits the time between two frames.
        """
        ...


class BlobPort(Protocol):
    """Asks other peers for pieces of blobs: of files, and of chunk lists."""

    async def fetch_blob(self, peer: bytes, sha256: bytes, offset: int, length: int) -> bytes:
        """`length` bytes (1 B to 1 MiB) from `offset` of the blob with this SHA-256 (32 B), as the peer sends them.

        Nothing is checked but their number. Raises AskError: unknown, not-served, beyond, busy, unconfirmed, or as
        `AskingPort.ask` does. The caller sets the deadline; cancelling is safe.
        """
        ...


class BlobSource(Protocol):
    """The node's side of serving: the adapter calls it with what other peers ask for."""

    async def read(self, sha256: bytes, offset: int, length: int, *, is_member: bool = False) -> bytes:
        """Exactly so many bytes of a blob that may be served, to a member or to others. Raises BlobRefused."""
        ...


class NetworkPort(AskingPort, BlobPort, StatePort, Protocol):
    """The network adapter as the node uses it."""

    def publish_nowait(self, message: bytes) -> None:
        """Hand one gossip message to the router."""
        ...

    async def fetch(self, peer: bytes, request: bytes) -> bytes:
        """One request for evidence and its answer. Raises AskError. The caller sets the deadline."""
        ...

    async def pay(self, peer: bytes, request: bytes) -> bytes:
        """One cheque for a creditor and its answer. Raises AskError. The caller sets the deadline."""
        ...

    def exclude(self, peers: frozenset[bytes]) -> None:
        """Exclude exactly these peers, whose convictions are final, from the gossip mesh. They are still read."""
        ...

    def neighbours(self) -> Sequence[Neighbour]: ...

    def addresses(self) -> Sequence[str]: ...

    def reach(self) -> Reach: ...

    def statistics(self) -> dict[str, int]: ...


class UnknownVersion(LookupError):
    """The network has no such line or version; `reason` says which there are."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownAudit(Exception):
    """This node knows no audit of this name, or several; `reason` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Orders(Protocol):
    """What an operator may have a node do."""

    def leave(self) -> list[str]:
        """Leave the network for good. Returns why the leave cannot be signed yet; the node remembers it."""
        ...

    def sponsor(self, peer: bytes) -> str | None:
        """Stand for a newcomer. Returns why that would have no effect now, or None."""
        ...

    async def sign(self, kind: Kind, payload: bytes) -> tuple[bytes | None, str | None]:
        """Sign a record of data or of versions. Returns its id (32 B) once it is on disk, or why it was not signed."""
        ...

    def accept(self, amendment: bytes) -> str | None:
        """Follow an amendment (id, 32 B), which the node remembers. Returns why it cannot, or None."""
        ...

    def fetch(self, line: str, number: int) -> FetchDocument:
        """Begin to fetch the files of a version, and say how far that is. Raises UnknownVersion."""
        ...

    def fetched(self, line: str, number: int) -> FetchDocument:
        """How far that is. Raises UnknownVersion."""
        ...


class Reports(Protocol):
    """What the HTTP API and the testnet read from a node: documents made on demand."""

    def status(self) -> StatusDocument: ...

    def peers(self) -> PeersDocument: ...

    def scores(self, *, final: bool) -> ScoresDocument: ...

    def audits(self, *, limit: int) -> AuditsDocument: ...

    def datasets(self, *, final: bool) -> DatasetsDocument: ...

    def accounts(self, *, final: bool) -> AccountsDocument: ...

    async def movements(self, key: bytes) -> MovementsDocument:
        """The movements of one account (a key of 32 B, or empty for the pool). Raises NoMovements."""
        ...

    def cheques(self) -> ChequesDocument: ...

    def rules(self) -> RulesDocument: ...

    def lines(self) -> LinesDocument: ...

    def rounds(self) -> RoundsDocument: ...

    def versions(self, line: str) -> VersionsDocument:
        """The versions of a line, by its name or its genesis manifest. Raises UnknownVersion."""
        ...

    def release(self, line: str, number: int) -> ReleaseDocument:
        """The bytes of one version. Raises UnknownVersion."""
        ...

    async def me(self) -> MeDocument:
        """How peers treat the clients of this node. Raises BookError."""
        ...

    async def blobs(self) -> BlobsDocument:
        """The files of models on this machine. Raises UserError if the disk cannot be read."""
        ...

    def passport(self, peer: bytes) -> PassportDocument | None:
        """The passport of a peer; None if no recent certified cut has one for it."""
        ...

    async def explain(self, name: str, *, wait_s: float) -> ExplainedAudit:
        """What is known of an audit and its answers after at most `wait_s` seconds. Raises UnknownAudit."""
        ...

    def unready(self) -> list[str]:
        """Why the node is not ready; empty if it is."""
        ...

    def metrics(self) -> "Iterable[Metric]":
        """All metric families, read now."""
        ...
