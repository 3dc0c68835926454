"""The view: the scores of a state for people and programs, and the canonical bytes behind the view root."""

from dataclasses import dataclass

from p2pverify.core.contract.network import Network, TestSteps
from p2pverify.core.encoding.canon import digest
from p2pverify.core.inference.speed import Claimant, Speed, speeds
from p2pverify.core.state.score import Standing, availability_ppm, interval_ppm, standing
from p2pverify.core.state.state import Dispute, Member, State
from p2pverify.core.state.transition import across_steps, class_steps

DOMAIN = "p2pverify/view/1"


@dataclass(frozen=True, slots=True)
class Score:
    """One peer in a view. Rates in parts per million. People read `low_ppm` as the score, but never alone."""

    peer: bytes
    class_name: str
    standing: Standing
    weight: int
    low_ppm: int
    high_ppm: int
    audits: int
    agreements: int
    dissents: int
    inconclusive: int
    challengers: int  # challengers whose audits were judged, itself included
    contacts: int  # challengers that asked it, with any outcome; the view's bytes hold this number
    last_audit_epoch: int
    availability_ppm: int | None
    no_shows: int
    slots_owed: int
    unopened: int
    cusum: int
    threshold: int
    convicted_epoch: int | None
    convicted_after: int | None
    conviction: str
    fork_until: int | None  # last epoch of a fork's penalty, None if there is none now
    speed: Speed | None  # None if it claims no hardware; it decides nothing


def scores(network: Network, state: State) -> tuple[Score, ...]:
    """All members of a state, sorted by key."""
    weighted = frozenset(peer for peer, m in state.members.items() if m.weight)
    steps = class_steps(network)
    speed_of = _speeds(state, weighted)
    return tuple(
        _score(network, state, peer, m, steps[m.class_index], weighted, speed_of.get(peer))
        for peer, m in sorted(state.members.items())
    )


def _speeds(state: State, weighted: frozenset[bytes]) -> dict[bytes, Speed]:
    claimants = {}
    for peer, member in state.members.items():
        if member.hardware:
            windows = tuple(c.windows for asker, c in member.contacts.items() if asker in weighted)
            counts = member.active and peer in weighted and not member.is_convicted
            claimants[peer] = Claimant(member.class_index, member.hardware, windows, counts)
    return speeds(claimants) if claimants else {}


def _score(
    network: Network,
    state: State,
    peer: bytes,
    member: Member,
    steps: TestSteps,
    weighted: frozenset[bytes],
    speed: Speed | None,
) -> Score:
    low, high = interval_ppm(member.agreements, member.dissents)
    available = availability_ppm(member, weighted)
    convicted = member.is_convicted
    return Score(
        peer,
        network.classes[member.class_index].name,
        standing(member, _suspect_at(network, member.class_index, steps), available, state.epoch),
        member.weight,
        low,
        high,
        member.audits,
        member.agreements,
        member.dissents,
        member.inconclusive,
        len(member.auditors),
        len(member.contacts),
        member.last_audit_epoch,
        available,
        member.no_shows,
        member.slots_owed,
        member.unopened,
        member.cusum,
        steps.threshold,
        member.convicted_epoch if convicted else None,
        member.convicted_after if convicted else None,
        member.conviction,
        member.fork_until if state.epoch <= member.fork_until else None,
        speed,
    )


def _suspect_at(network: Network, class_index: int, steps: TestSteps) -> int:
    """The smallest step of a dissent, within the class or across classes."""
    is_judged = network.classes[class_index].across is not None
    return min(steps.up, across_steps(network, class_index).up) if is_judged else steps.up


def view_value(network: Network, state: State) -> list[object]:
    """The view in canonical form. It depends only on the records in the cut."""
    return [
        DOMAIN,
        network.id,
        state.epoch,
        state.index,
        state.beacon,
        state.ledger_root,
        [_score_row(score, state.members[score.peer]) for score in scores(network, state)],
        [_dispute_row(state.disputes[key]) for key in sorted(state.disputes, key=lambda k: k.sort_key())],
        [[name, state.totals[name]] for name in sorted(state.totals)],
    ]


def view_root(network: Network, state: State) -> bytes:
    """SHA-256 of the view's canonical bytes. A cut proposes it, and members sign it."""
    return digest(view_value(network, state))


def _score_row(score: Score, member: Member) -> list[object]:
    return [
        score.peer,
        member.class_index,
        member.vrf_key,
        member.joined_epoch,
        member.active,
        str(score.standing),
        score.weight,
        [score.low_ppm, score.high_ppm, score.agreements, score.dissents, score.inconclusive, score.cusum],
        [score.contacts, score.availability_ppm, len(member.credits)],
        [score.slots_owed, score.no_shows, score.unopened],
        [member.duties_met, member.missed_duties, member.void_audits],
        [score.last_audit_epoch + 1, member.fork_until + 1, member.convicted_epoch + 1],
        score.convicted_after,
        score.conviction,
        _speed_value(score.speed),
    ]


def _speed_value(speed: Speed | None) -> list[object]:
    if speed is None:
        return []
    typical = speed.typical
    times = [] if typical is None else [typical.token_us, typical.first_ms, typical.step_us]
    return [speed.claim, str(speed.fit), speed.challengers, times]


def _dispute_row(dispute: Dispute) -> list[object]:
    current = dispute.round
    return [
        dispute.key.to_value(),
        dispute.opened_epoch,
        current.sealed_index + 1,
        sorted(dispute.electorate),
        [current.stage, current.began_index, current.voters, sorted(current.lots), sorted(current.seats)],
        [[voter, sealed.commit, sealed.seq, sealed.stage] for voter, sealed in sorted(dispute.commits.items())],
        [[voter, vote.output, vote.shown] for voter, vote in sorted(dispute.votes.items())],
        dispute.decision,
    ]
