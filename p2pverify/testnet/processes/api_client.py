"""Reads a peer's local API: the fields of its documents that the verdict and the table need.

A cheating peer can show false values here, so `verdict` uses only the documents of honest peers.
"""

import http.client
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

BODY_BYTES_MAX = 8 * 1024 * 1024
TIMEOUT_S = 10.0  # long, because a busy peer on a busy machine answers late


class ReadError(Exception):
    """The peer did not answer, or answered with another document."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class CutReading(_Document):
    """A certified cut that a peer has, with the roots that its own fold confirms. Digests are in hex."""

    cut: str
    epoch: int
    index: int
    ledger_root: str
    view_root: str
    records: int


class JobsReading(_Document):
    """The jobs of a peer's engine. A late job ended after its deadline. A dropped job was never begun, because it would
    have ended late."""

    jobs_done: int = 0
    jobs_late: int = 0
    jobs_dropped: int = 0

    @property
    def total(self) -> int:
        return self.jobs_done + self.jobs_dropped

    @property
    def late(self) -> int:
        """The number of useless jobs: late or dropped."""
        return self.jobs_late + self.jobs_dropped

    def __add__(self, other: "JobsReading") -> "JobsReading":
        return JobsReading(
            jobs_done=self.jobs_done + other.jobs_done,
            jobs_late=self.jobs_late + other.jobs_late,
            jobs_dropped=self.jobs_dropped + other.jobs_dropped,
        )


class StatusReading(_Document):
    """`/v1/status`."""

    peer_id: str
    epoch: int
    records: int
    ready: bool
    reasons: tuple[str, ...]
    recent_cuts: tuple[CutReading, ...]  # oldest first
    jobs: JobsReading = JobsReading()

    @property
    def newest(self) -> CutReading | None:
        return self.recent_cuts[-1] if self.recent_cuts else None


class HardwareReading(_Document):
    """A peer's hardware claim, and whether its speed fits the claim."""

    claim: str
    fit: str
    token_ms: float | None


class ScoreReading(_Document):
    """One peer in a view. Rates are between 0 and 1."""

    peer_id: str
    standing: str
    low: float
    high: float
    audits: int
    dissents: int
    challengers: int
    availability: float | None
    convicted_after_audits: int | None
    disputes_lost: int | None = None
    hardware: HardwareReading | None = None

    @property
    def lost(self) -> int:
        """The number of disputes that the peer lost. Each is a dissent, but only one dissent counts per epoch."""
        return self.dissents if self.disputes_lost is None else self.disputes_lost


class ScoresReading(_Document):
    """`/v1/scores`: a view. `cut` is None before the first certified cut and for a provisional view."""

    final: bool
    cut: str | None
    epoch: int
    scores: tuple[ScoreReading, ...]

    def of(self, peer_id: str) -> ScoreReading | None:
        return next((score for score in self.scores if score.peer_id == peer_id), None)


class DisputeReading(_Document):
    status: str


class AuditsReading(_Document):
    """`/v1/audits`."""

    disputes: tuple[DisputeReading, ...]

    @property
    def open_disputes(self) -> int:
        return sum(dispute.status == "open" for dispute in self.disputes)


_Read = TypeVar("_Read", bound=_Document)


def fetch(url: str, path: str, model: type[_Read]) -> _Read:
    """One document of the API at `url`. Blocks for at most about TIMEOUT_S. Raises ReadError."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        # The server would keep the connection open for a next request, and it limits its connections.
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read(BODY_BYTES_MAX + 1)
    except (OSError, http.client.HTTPException) as error:
        raise ReadError(f"{url}{path}: {error}") from None
    finally:
        connection.close()
    if response.status != 200 or len(body) > BODY_BYTES_MAX:
        raise ReadError(f"{url}{path}: status {response.status}, {len(body)} bytes")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise ReadError(f"{url}{path}: {error.error_count()} faults in the document") from None
