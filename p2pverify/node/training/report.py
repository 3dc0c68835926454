"""What the newest final view says of training rounds."""

from collections.abc import Mapping, Sequence

from p2pverify.core.contract.history.training import REPLAY, TrainingRule
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.machine import Machine
from p2pverify.core.state.rounds.marks import left_out
from p2pverify.core.state.rounds.notes import (
    NO_ROUNDS,
    ClosedRound,
    ContributionNote,
    OpenRound,
    TrainingPhase,
)
from p2pverify.core.state.rounds.phases import contributors_of, houses_of, least_houses
from p2pverify.core.training.result import UpdateFinding
from p2pverify.node.training.documents import (
    ClosedRoundDocument,
    ContributionDocument,
    FindingName,
    ModeName,
    OpenRoundDocument,
    PhaseName,
    RoundsDocument,
    TrainedLineDocument,
)

MODES: Sequence[ModeName] = ("open", "held-out", "reported")
_PHASES: Mapping[TrainingPhase, PhaseName] = {
    TrainingPhase.SEALING: "sealing",
    TrainingPhase.OPENING: "opening",
    TrainingPhase.REPORTING: "reporting",
    TrainingPhase.DISCLOSING: "disclosing",
    TrainingPhase.VOTING: "voting",
}
_FINDINGS: Mapping[UpdateFinding, FindingName] = {
    UpdateFinding.RIGHT: "right",
    UpdateFinding.FALSE: "false",
    UpdateFinding.UNSEEN: "unseen",
    UpdateFinding.BROKEN: "broken",
}


def rounds_document(machine: Machine) -> RoundsDocument:
    """The rounds of all trained lines of a machine's network."""
    state = machine.fold.latest
    return RoundsDocument(
        schema="p2pverify/rounds/1",
        network=machine.context.network_id.hex(),
        cut=state.id.hex() if state.index > 0 else None,
        epoch=state.epoch,
        lines=tuple(
            _line(machine, index, line.training)
            for index, line in enumerate(machine.network.lines)
            if line.training is not None
        ),
    )


def waiting_rounds(machine: Machine) -> list[str]:
    """The open rounds in which this node has still something to do, in words."""
    found = []
    for index, known in sorted(machine.fold.latest.rounds.items()):
        own = None if known.open is None else _own(machine.key, known.open)
        if known.open is not None and own is not None:
            found.append(f"round {known.open.number} of line {machine.network.lines[index].name}: {own}")
    return found


def _line(machine: Machine, index: int, rule: TrainingRule) -> TrainedLineDocument:
    state = machine.fold.latest
    known = state.rounds.get(index, NO_ROUNDS)
    return TrainedLineDocument(
        line=machine.network.lines[index].name,
        trainer=rule.trainer,
        mode=MODES[rule.mode],
        rounds=rule.rounds,
        decided=known.decided,
        newest=known.newest,
        houses_needed=least_houses(rule),
        houses_ready=houses_of(rule, contributors_of(state, rule)),
        quarantined=_peers(left_out(known, known.newest + (known.open is None))),
        replays=rule.erasure_policy == REPLAY,
        to_repeat=tuple(past.number for past in known.replay.todo),
        open=None if known.open is None else _open(machine.key, known.open),
        closed=tuple(map(_closed, known.closed)),
    )


def _open(key: bytes, current: OpenRound) -> OpenRoundDocument:
    vote = current.vote
    return OpenRoundDocument(
        number=current.number,
        base=current.base,
        phase=_PHASES[current.phase],
        opened_epoch=current.opened_epoch,
        repeats=None if current.repeats is None else current.repeats.number,
        expected=_peers(current.expected),
        sealed=_peers(current.seals),
        opened=_peers(current.updates),
        losses_sealed=len(current.losses),
        losses_opened=sum(bool(note.losses) for note in current.losses.values()),
        electorate=0 if vote is None else len(vote.electorate),
        votes_sealed=0 if vote is None else len(vote.commits),
        votes_opened=0 if vote is None else len(vote.votes),
        own=_own(key, current),
    )


def _own(key: bytes, current: OpenRound) -> str | None:
    """What a peer still has to do in an open round."""
    match current.phase:
        case TrainingPhase.SEALING:
            return "train, and seal the update" if key in current.expected and key not in current.seals else None
        case TrainingPhase.OPENING:
            return "open the update" if key in current.seals and key not in current.updates else None
        case TrainingPhase.REPORTING:
            is_owed = key in current.updates and key not in current.losses
            return "compute the losses on its rows, and seal them" if is_owed else None
        case TrainingPhase.DISCLOSING:
            return "open the losses" if key in current.losses and not current.losses[key].losses else None
    vote = current.vote
    if vote is None or key not in vote.electorate:
        return None
    if key not in vote.commits:
        return "compute the result, and seal it" if vote.closed_index < 0 else None
    return "open the result" if key not in vote.votes else None


def _closed(over: ClosedRound) -> ClosedRoundDocument:
    agreed, voters = over.voters
    return ClosedRoundDocument(
        number=over.number,
        base=over.base,
        version=over.version if over.version >= 0 else None,
        decided=agreed > 0,
        epoch=over.epoch,
        gain=over.gain,
        agreed=agreed,
        voters=voters,
        repeats=over.repeats or None,
        contributions=tuple(map(_contribution, over.contributions)),
    )


def _contribution(note: ContributionNote) -> ContributionDocument:
    return ContributionDocument(
        peer_id=peer_id(note.row.author),
        finding=_FINDINGS[note.row.finding],
        credit=note.row.credit,
        marked=note.row.is_marked,
        rows=note.rows,
        late=note.late,
        dataset=note.dataset.hex(),
    )


def _peers(keys: "frozenset[bytes] | Mapping[bytes, object]") -> tuple[str, ...]:
    return tuple(map(peer_id, sorted(keys)))
