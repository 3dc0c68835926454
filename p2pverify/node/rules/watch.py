"""Logs what becomes of amendments: when one opens, is approved, loses its approval, takes effect, or closes."""

import logging

from p2pverify.core.contract.rules.amend import feature_numbers
from p2pverify.core.state.rules.notes import OpenAmendment, newest
from p2pverify.node.driver import Driver
from p2pverify.node.rules.report import feature_names, told
from p2pverify.node.user_error import UserError

log = logging.getLogger(__name__)
_SHOW = "'p2pverify network show --rules' shows it"


class HaltedError(UserError):
    """The node ended while it did not go on from a cut, because it does not follow an amendment."""

    is_not_ready = True


class AmendmentWatch:
    """The watch of one node. It looks at each final cut."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        state = driver.machine.fold.latest
        self._known: dict[bytes, OpenAmendment] = dict(state.amendments)
        self._in_force = newest(state.rules)
        driver.on_final(self.look)

    def look(self) -> None:
        """Compare with the last look, and log what has changed."""
        machine = self._driver.machine
        state = machine.fold.latest
        known, self._known = self._known, dict(state.amendments)
        for key, note in sorted(self._known.items()):
            before = known.get(key)
            if before is None:
                changes = "; ".join(self._told(note))
                log.info("amendment %s was proposed: %s. %s", key.hex()[:16], changes, _SHOW)
            if note.is_scheduled and (before is None or before.starts != note.starts):
                self._tell_scheduled(key, note)
            if before is not None and before.is_scheduled and not note.is_scheduled:
                log.warning("amendment %s is not approved any more", key.hex()[:16])
        rules = newest(state.rules)
        in_force, self._in_force = self._in_force, rules
        effective = (
            b"" if rules is None or (in_force is not None and in_force.since == rules.since) else rules.amendment
        )
        for key in sorted(known.keys() - self._known.keys() - {effective}):
            log.info("amendment %s is closed without effect", key.hex()[:16])
        if effective:
            log.warning("amendment %s is in force since the cut of epoch %d", effective.hex()[:16], state.epoch)

    def stopped(self) -> None:
        """Raise HaltedError if this node does not go on from its newest cut."""
        halt = self._driver.machine.context.halt(self._driver.now_ms())
        if halt is not None:
            raise HaltedError(f"stopped at cut {halt.cut.hex()[:16]}: {halt.reason}", _hint(halt.reason))

    def _tell_scheduled(self, key: bytes, note: OpenAmendment) -> None:
        following = self._driver.machine.fold.following
        lacking = feature_numbers(note.amendment.features & ~following.known)
        log.warning("amendment %s is approved, and takes effect in epoch %d", key.hex()[:16], note.starts)
        if lacking:
            log.warning("this program lacks feature %d: upgrade it before, or this node stops then", lacking[0])
        elif following.asks and key not in following.accepted:
            log.warning("this node stops then, unless you say 'p2pverify network accept %s'", key.hex()[:16])

    def _told(self, note: OpenAmendment) -> list[str]:
        return [*told(self._driver.machine.network, note.amendment.changes), *feature_names(note)]


def _hint(reason: str) -> str:
    return "run that command" if reason.startswith("waits") else "install a p2pverify that has it, and start again"
