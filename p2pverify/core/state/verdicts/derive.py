"""The question of an owed slot, as everybody with the model derives it from the challenger's duty.

The challenger asks this question, a voter answers it, and a reader of the ledger answers it again later. The engine
writes the prompt from the slot's `prompt_seed` between the two steps of this module.
"""

from p2pverify.core.contract import sortition
from p2pverify.core.contract.network import Network, Params
from p2pverify.core.encoding import vrf
from p2pverify.core.inference.question import Question
from p2pverify.core.records.payloads.duty import Duty


def owed_slot(duty: Duty, index: int, params: Params) -> sortition.Slot | None:
    """A slot of an accepted duty. None if its VRF output gives no slot with this index.

    With `audits_per_epoch` the members at the anchor decide whether a slot exists. The fold knows them. Here a slot is
    taken to exist if it could.
    """
    beta = vrf.proof_to_beta(duty.proof)
    if params.audits_per_epoch:
        return sortition.slot_at(beta, index, params) if index < params.slots_max * params.period_max else None
    slots = sortition.slots(beta, params)
    return slots[index] if index < len(slots) else None


def derive_question(
    network: Network, class_index: int, slot: sortition.Slot, prompt: tuple[int, ...], challenger: bytes
) -> Question:
    """The question of a challenger's slot, from the prompt that the model of the challenger's class wrote."""
    params = network.params
    return Question(
        network.classes[class_index].manifest,
        prompt,
        slot.answer_tokens(params, len(prompt)),
        slot.temperature_milli(params),
        slot.sample_seed,
        challenger,
    )
