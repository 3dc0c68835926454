"""What the operator of a home may have its node do."""

from dataclasses import replace

from p2pverify.core.events import Leave
from p2pverify.core.records.envelope import Kind
from p2pverify.node.driver import Driver
from p2pverify.node.files.home import Home
from p2pverify.node.lines.documents import FetchDocument
from p2pverify.node.lines.fetching import VersionDownloads
from p2pverify.node.ports import Orders
from p2pverify.node.reports.signing import STOPPED, standstill
from p2pverify.node.rules.accepted import keep_accepted
from p2pverify.node.user_error import UserError


class HomeOrders(Orders):
    """What the operator of this home may have the node do."""

    def __init__(self, home: Home, driver: Driver, downloads: VersionDownloads) -> None:
        self._home = home
        self._driver = driver
        self._downloads = downloads

    def leave(self) -> list[str]:
        self._home.keep_leave()  # the next start signs the leave, if it cannot be signed in this run
        self._driver.order(Leave())
        standing = standstill(self._driver.machine, self._driver.now_ms())
        return [text for kind, text in standing.items() if kind in STOPPED]

    def sponsor(self, peer: bytes) -> str | None:
        return self._driver.sponsor(peer)

    async def sign(self, kind: Kind, payload: bytes) -> tuple[bytes | None, str | None]:
        return await self._driver.sign(kind, payload)

    def accept(self, amendment: bytes) -> str | None:
        fold = self._driver.machine.fold
        if amendment not in fold.latest.amendments:
            return "no such amendment is open"
        try:
            keep_accepted(self._home.path, amendment)
        except (OSError, UserError) as error:
            return f"it cannot be remembered: {error}"
        fold.follow(replace(fold.following, accepted=fold.following.accepted | {amendment}))
        self._driver.look_again()
        return None

    def fetch(self, line: str, number: int) -> FetchDocument:
        return self._downloads.order(line, number)

    def fetched(self, line: str, number: int) -> FetchDocument:
        return self._downloads.document(line, number)
