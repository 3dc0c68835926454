"""The desk: how many clients are served at once, and how often each may come."""

from collections import Counter
from dataclasses import dataclass

from p2pverify.core.limits import BoundedDict, Bucket, Rate

PLACES_MAX = 32  # answers that are being made, of all clients together
VISITORS_KEPT = 1024
RETRY_AFTER_S = 2
_COST = 60  # so that a rate per minute is a rate of these per second


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks. `id` is "" for clients on this machine without a key.

    `per_minute` and `at_once` limit its requests; one that a panel of n peers answers counts as n.
    """

    id: str = ""
    name: str = ""
    per_minute: int = 0  # 0: no limit of its own
    at_once: int = PLACES_MAX


LOCAL = Client()


class DeskBusy(Exception):
    """No place is free. `is_own_limit` says whether it is the client's own limit that is reached."""

    def __init__(self, message: str, *, retry_after_s: int, is_own_limit: bool) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.is_own_limit = is_own_limit


class Desk:
    """Counts places. Each answer that is being made has one."""

    def __init__(self, places: int = PLACES_MAX) -> None:
        self._free = places
        self._taken: Counter[str] = Counter()
        self._visits: BoundedDict[str, Bucket] = BoundedDict(VISITORS_KEPT)

    @property
    def taken(self) -> int:
        return self._taken.total()

    def take(self, client: Client, places: int, now_ms: int) -> "Place":
        """Take places for one request. Raises DeskBusy."""
        if places > self._free:
            raise DeskBusy("this node is busy with other clients", retry_after_s=RETRY_AFTER_S, is_own_limit=False)
        if self._taken[client.id] + places > client.at_once:
            raise DeskBusy(
                f"this key may have {client.at_once} answers at once", retry_after_s=RETRY_AFTER_S, is_own_limit=True
            )
        if client.per_minute:
            self._visit(client, now_ms)
        self._free -= places
        self._taken[client.id] += places
        return Place(self, client.id, places)

    def widen(self, place: "Place", client: Client, places: int, now_ms: int) -> None:
        """Count further answers of a request that was taken, because a panel answers it. They are never refused.

        Each answer counts once more against the client's limits, so the client has to wait later.
        """
        self._free -= places
        self._taken[client.id] += places
        place.places += places
        bucket = self._visits.get(client.id)
        if client.per_minute and bucket is not None:
            bucket.owe(_COST * places, now_ms)

    def _visit(self, client: Client, now_ms: int) -> None:
        bucket = self._visits.get(client.id)
        if bucket is None:
            bucket = Bucket(Rate(client.per_minute, _COST * client.per_minute), now_ms)
        self._visits[client.id] = bucket
        if not bucket.take(_COST, now_ms):
            wait_s = -(-bucket.wait_ms(_COST, now_ms) // 1000)
            message = f"this key may ask {client.per_minute} times a minute"
            raise DeskBusy(message, retry_after_s=max(1, wait_s), is_own_limit=True)

    def leave(self, client_id: str, places: int) -> None:
        """Give places back."""
        self._free += places
        self._taken[client_id] -= places
        if not self._taken[client_id]:
            del self._taken[client_id]


@dataclass(slots=True)
class Place:
    """The places of one request."""

    _desk: Desk
    _client_id: str
    places: int

    def leave(self) -> None:
        """Give the places back, once."""
        self._desk.leave(self._client_id, self.places)
        self.places = 0
