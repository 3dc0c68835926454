"""Losses that owners report in mode 2, as a step of the fold counts them. A second, different seal convicts."""

from dataclasses import replace

from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.rounds.losses import (
    LossReport,
    LossSeal,
    decode_loss_report,
    decode_loss_seal,
    loss_seal,
)
from p2pverify.core.state.rounds.notes import LossNote, OpenRound, TrainingPhase
from p2pverify.core.state.rounds.take import cited_round, note, open_round, rule_of
from p2pverify.core.state.transition import Transition
from p2pverify.core.training.losses import losses_count


def take_loss_seal(step: Transition, record: Record) -> None:
    """Count the sealed losses of an owner."""
    seal = decode_loss_seal(record.payload)
    current = open_round(step.state, seal.place)
    if current is None:
        return
    known = current.losses.get(record.author)
    if known is not None:
        if known.commit != seal.commit:
            step.state.convict(record.author, "two loss seals for one round")
        return
    refused = refuse_loss_seal(step, current, record.author, seal)
    if refused is not None:
        step.state.count(f"loss seal: {refused}")
        return
    note(step, seal.place, losses={**current.losses, record.author: LossNote(seal.commit)})


def refuse_loss_seal(step: Transition, current: OpenRound, author: bytes, seal: LossSeal) -> str | None:
    """The reason why sealed losses are not counted, or None."""
    if current.phase is not TrainingPhase.REPORTING:
        return "not while losses are sealed"
    if author not in current.updates:
        return "author has no update in the round"
    then = cited_round(step, seal.certificate, seal.place)
    is_open = then is not None and then.phase is TrainingPhase.REPORTING
    return None if is_open else "certificate is before the updates were open"


def take_loss_report(step: Transition, record: Record) -> None:
    """Count the opened losses of an owner."""
    report = decode_loss_report(record.payload)
    current = open_round(step.state, report.place)
    known = None if current is None else current.losses.get(record.author)
    if current is None or (known is not None and known.losses):
        return
    refused = refuse_loss_report(step, current, record.author, report)
    if refused is not None:
        step.state.count(f"loss report: {refused}")
        return
    opened = replace(current.losses[record.author], losses=report.losses)
    note(step, report.place, losses={**current.losses, record.author: opened})


def refuse_loss_report(step: Transition, current: OpenRound, author: bytes, report: LossReport) -> str | None:
    """The reason why opened losses are not counted, or None."""
    if current.phase is not TrainingPhase.DISCLOSING:
        return "not while losses are opened"
    sealed = current.losses.get(author)
    if sealed is None:
        return "no loss seal was counted"
    then = cited_round(step, report.certificate, report.place)
    if then is None or then.phase is not TrainingPhase.DISCLOSING:
        return "certificate is before the sealing of losses was closed"
    if loss_seal(step.network_id, report.place, author, report.losses, report.salt) != sealed.commit:
        return "does not open the loss seal"
    houses = len(rule_of(step, report.place).sorted_houses(current.updates))
    return None if len(report.losses) == losses_count(houses) else "another number of losses"
