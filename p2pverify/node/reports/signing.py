"""Why a node signs nothing, in words for its operator: what happened, and what to do."""

import logging

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.machine import Machine
from p2pverify.core.replica.silence import CONTRADICTION
from p2pverify.core.roles.disputes.objector import SELFTEST_FAILED
from p2pverify.core.roles.membership import FORGOTTEN

#: The kinds of reasons. CLOCK, about the clocks of other members, is only a warning: it does not stop the signing.
SILENT, TWIN, FAULTY, TORN, RULES = "silent", "twin", "faulty", "torn", "rules"
AHEAD, LEFT, CLOCK = "ahead", "left", "clock"
#: The kinds about changes of keys: this identity moves away, it has moved, or it waits for another one's row.
MOVES, MOVED, TAKES_OVER = "moves", "moved", "takes over"
STOPPED = frozenset((SILENT, TWIN, FAULTY, TORN, AHEAD, RULES, MOVED))
log = logging.getLogger(__name__)


class StandstillLog:
    """Logs why nothing is signed: each reason when it begins, and when this peer signs again."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def note(self, machine: Machine, now_ms: int) -> None:
        """Log what has changed since the last call."""
        now = standstill(machine, now_ms)
        for kind in now.keys() - self._known.keys():
            log.log(logging.INFO if kind == SILENT else logging.WARNING, "%s", now[kind])
        if self._known.keys() & STOPPED and not now.keys() & STOPPED:
            log.info("this peer signs again")
        self._known = now


def standstill(machine: Machine, now_ms: int) -> dict[str, str]:
    """The reasons why this peer signs nothing, each under its kind."""
    context = machine.context
    epoch = context.params.epoch_at(now_ms)
    silence = context.silence
    last = context.ledger.last(context.key)
    found: dict[str, str] = {}
    stopped = _stopped(machine)
    if stopped is not None:
        found[stopped[0]] = stopped[1]
    elif silence.is_on and epoch >= 0:
        found[SILENT] = _silent(machine, epoch)
    elif last is not None and last.epoch > epoch:
        when = _lasts(context.params.epoch_start_ms(last.epoch) - now_ms)
        found[AHEAD] = (
            f"the newest own record is of epoch {last.epoch}, which begins in {when} by this clock: "
            "nothing is signed until then. If this clock is wrong, correct it. "
            "If it was ahead before, wait, or start with a new identity"
        )
    halt = context.halt(now_ms)
    if halt is not None:
        found[RULES] = f"stopped at cut {halt.cut.hex()[:16]}: {halt.reason}, so this node signs nothing"
    if context.moves_to is not None and MOVED not in found:
        found[MOVES] = _moves(machine)
    takes_over = context.takes_over()
    if takes_over:
        found[TAKES_OVER] = takes_over
    if context.is_leaving:
        found[LEFT] = _leaving(machine)
    ahead = machine.clocks.ahead
    if ahead:
        apart = _lasts(abs(ahead) * context.params.epoch_ms)
        found[CLOCK] = (
            f"this machine's clock is about {apart} {'behind' if ahead > 0 else 'ahead of'} those of most members: "
            "correct it"
        )
    return found


def _stopped(machine: Machine) -> tuple[str, str] | None:
    """The reason, under its kind, why this peer signs nothing any more, whatever comes."""
    stopped = machine.context.silence.stopped
    if machine.context.is_succeeded:
        return MOVED, _moved(machine)
    if stopped == SELFTEST_FAILED:
        return FAULTY, f"{stopped}. Its results cannot be trusted, so this node signs nothing any more"
    if stopped.startswith(CONTRADICTION):
        return TORN, (
            f"{stopped}. This node signs nothing any more. Ask several people which of both cuts their nodes hold, and "
            "start a new home with --trust CUT"
        )
    if stopped == FORGOTTEN:
        return FAULTY, f"{stopped}. This node signs nothing any more: make a new home with 'p2pverify init'"
    if stopped:
        return TWIN, (
            f"{stopped}: this node signs nothing any more. Run this identity on one machine only, then start it again"
        )
    return None


def _moved(machine: Machine) -> str:
    latest, key = machine.fold.latest, machine.key
    found = latest.moved.get(key)
    where = peer_id(machine.context.moves_to or key)
    if found is None:
        return f"this identity is handed over to {where}: stop this node, and run that identity"
    return f"this identity moved to {where} in epoch {found.epoch}: stop this node, and run that identity"


def _moves(machine: Machine) -> str:
    where = peer_id(machine.context.moves_to or machine.key)
    found = machine.fold.latest.handovers.get(machine.key)
    if found is not None and found.is_signed:
        return f"this identity is handed over to {where}: keep this node running until its weight is taken"
    return f"{where} takes over from this identity: if that is not you, call 'p2pverify identity object'"


def _leaving(machine: Machine) -> str:
    """The progress of a leave: signed, in a final cut, and without weight."""
    latest = machine.fold.latest
    own = latest.members.get(machine.key)
    if own is not None and own.active:
        return "leaving: keep this node running until a final cut holds its leave"
    if own is not None and own.weight and latest.total_weight > own.weight:
        return "leaving: keep this node running until a final cut has taken its weight, for which others may need it"
    return "left the network: this node may be stopped; 'p2pverify join --rejoin' takes part again"


def _silent(machine: Machine, epoch: int) -> str:
    silence = machine.context.silence
    if silence.awaits:
        return f"silent until it holds {silence.awaits}"
    if silence.hidden_epoch > epoch + 1:
        return (
            f"silent: others hold a record of this identity of epoch {silence.hidden_epoch}, and by this clock it is "
            f"epoch {epoch}: correct the clock, or wait"
        )
    if epoch <= silence.listens_through:
        return (
            "silent: others have shown records of this identity that this home had lost; until epoch "
            f"{silence.listens_through + 1} it watches whether another process signs with it"
        )
    shown, needed, others = silence.progress()
    so_far = f"{shown} of {needed} needed, of {others} in all" if others else "nobody else has weight"
    return (
        f"silent until others have shown our own log (weight of the neighbours that have: {so_far}), as this home may "
        "be an older copy. If it is the newest, and nobody can show more, start it with --alone"
    )


def _lasts(ms: int) -> str:
    """A duration, rounded up."""
    seconds = -(-ms // 1000)
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{-(-seconds // size)} {word}"
    return f"{seconds} s"
