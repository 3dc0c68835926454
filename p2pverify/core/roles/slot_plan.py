"""The plan of a peer's slots in an epoch, made before the epoch's questions are asked."""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from p2pverify.core.contract import sortition
from p2pverify.core.contract.lengths import context_tokens
from p2pverify.core.contract.network import Network, Params
from p2pverify.core.contract.output import Ask
from p2pverify.core.encoding import vrf
from p2pverify.core.events import OWN, Effects
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.inference.question import NO_OUTPUT, Opening, Question
from p2pverify.core.roles.context import Context, JobDone
from p2pverify.core.state.past.notes import PastCut
from p2pverify.core.state.verdicts.derive import derive_question
from p2pverify.core.state.verdicts.notes import Panel
from p2pverify.core.state.verdicts.targets import covered_epochs, make_panel, owed_slots


class SlotPhase(Enum):
    """The phases of an owed slot. The table in `challenger` shows how they follow each other."""

    PLANNED = auto()  # waits for its due time
    DERIVING = auto()  # waits for the prompt, and within the class for the own answer
    ASKING = auto()  # waits for the answers of its targets
    MEASURING = auto()  # across classes, waits for the referee's measures of these answers
    AUDITED = auto()  # its answers are judged, and its audit is published unless it came too late
    GIVEN_UP = auto()  # there was nobody to ask, or an engine failed


@dataclass(slots=True)
class SlotPlan:
    """One owed slot and its phase. An audited slot has its `opening`, and the `differ` of its audit."""

    slot: sortition.Slot
    panel: Panel
    due_ms: int
    phase: SlotPhase = SlotPhase.PLANNED
    opening: Opening | None = None
    differ: bool = False

    @property
    def targets(self) -> tuple[bytes, ...]:
        return self.panel.targets

    @property
    def is_done(self) -> bool:
        return self.phase in (SlotPhase.AUDITED, SlotPhase.GIVEN_UP)


@dataclass(slots=True)
class EpochPlan:
    """A peer's duty in an epoch, or in a period of epochs from `epoch` to `last`."""

    epoch: int
    last: int
    anchor: bytes
    beacon: bytes
    beta: bytes
    proof: bytes
    slots: list[SlotPlan] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        return all(slot.is_done for slot in self.slots)


class Anchor(NamedTuple):
    """A cut from which an epoch's slots are drawn: its id, and what the newest state keeps of it."""

    id: bytes
    cut: PastCut


def find_anchor(context: Context, epoch: int) -> Anchor | None:
    """The newest certified cut that an epoch's draw may use, or None."""
    params, latest = context.params, context.fold.latest
    for cut_id in reversed(latest.path):
        cut = latest.past_of(cut_id)
        if cut is None or cut_id == context.network_id:
            return None
        age = epoch - cut.epoch
        if age > params.anchor_lag + params.anchor_window:
            return None
        if age >= params.anchor_lag:
            return Anchor(cut_id, cut)
    return None


def make_plan(context: Context, epoch: int, anchor: Anchor) -> EpochPlan | None:
    """Draw the duty that begins with an epoch; None if this peer was not a member at the anchor."""
    member = anchor.cut.members.get(context.key)
    if member is None or not member.active or member.vrf_key != context.vrf_key or member.is_convicted:
        return None
    rules = anchor.cut.rules_in(context.network)
    params = rules.params
    proof = vrf.prove(context.vrf_seed, sortition.duty_alpha(context.network_id, epoch, anchor.cut.beacon))
    beta = vrf.proof_to_beta(proof)
    last = epoch + covered_epochs(params, anchor.cut, context.key, epoch) - 1
    plan = EpochPlan(epoch, last, anchor.id, anchor.cut.beacon, beta, proof)
    for slot in owed_slots(params, anchor.cut, context.key, epoch, beta):
        panel = make_panel(rules, anchor.cut, context.key, beta, slot)
        phase = SlotPhase.PLANNED if panel.targets else SlotPhase.GIVEN_UP
        plan.slots.append(SlotPlan(slot, panel, slot.due_ms(epoch, params), phase))
    return plan


def slot_question(
    context: Context, contract: Network, slot: sortition.Slot, prompt: tuple[int, ...], requester: bytes
) -> Question:
    """The question of a slot of this peer's class, from the prompt that the model wrote.

    `contract` is that among the members that serve the challenger's version.
    """
    return derive_question(contract, context.class_index, slot, prompt, requester)


def derive(
    context: Context,
    params: Params,
    slot: sortition.Slot,
    ask: Ask,
    done: JobDone,
    *,
    model: bytes,
    purpose: Purpose,
    deadline_ms: int,
    role: str = OWN,
) -> Effects[None]:
    """Have an engine write the prompt of a slot and, while it holds the prompt, answer `ask` with it.

    `params` are those of the rules by which the slot is judged.
    """
    return context.compute(
        done,
        ask,
        model=model,
        purpose=purpose,
        deadline_ms=deadline_ms,
        prompt_seed=slot.prompt_seed,
        prompt_tokens=slot.prompt_tokens(params),
        role=role,
        context_tokens=context_tokens(params) if slot.is_open(params) else 0,
    )


def slot_opening(context: Context, epoch: int, slot: int, targets: tuple[bytes, ...], output: bytes) -> Opening:
    """The opening of an own slot within its class; its salts can be derived again after a restart."""
    return Opening(slot, context.class_index, output, _salts(context, epoch, slot, targets))


def across_opening(context: Context, epoch: int, slot: int, targets: tuple[bytes, ...]) -> Opening:
    """The opening of an own slot across classes, in which this peer gives no answer. The measures are added later."""
    return Opening(slot, None, NO_OUTPUT, _salts(context, epoch, slot, targets))


def _salts(context: Context, epoch: int, slot: int, targets: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(context.secret("salt", epoch, slot, target) for target in targets)
