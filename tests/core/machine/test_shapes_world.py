"""Members of a network with a table of shapes ask what it says, and find each other's questions derivable."""

from dataclasses import replace
from typing import Any

from p2pverify.core.contract.shapes import USUAL_CONTEXT_TOKENS, RequestShape
from p2pverify.core.events import Send
from p2pverify.core.inference.question import Question, decode_request
from p2pverify.testnet.world.peer.actor import Actor
from tests.support.worlds import final, make_world, watching

TABLE = (RequestShape(2, 1, 6, 0, 0, 1000), RequestShape(1, 7, 9, 3, 3, 0))


def test_owed_questions_follow_the_table_and_are_judged() -> None:
    """All undisputed audits are voted on, so the voters derive each question again, and give the same answer.

    Most audits are long, so each peer's agreements count in the test over long answers too, which convicts nobody.
    """
    asked: list[Question] = []

    def see(_actor: Actor, told: Any, _now_ms: int) -> None:
        if isinstance(told, Send):
            asked.append(decode_request(told.data)[1])

    world = make_world(
        4,
        make=watching(see),
        contract=lambda usual: replace(usual, params=replace(usual.params, shapes=TABLE)),
        spot_check_permille=1000,
    )
    world.run_epochs(7)
    is_open = [one for one in asked if one.temperature_milli]
    assert all(len(one.prompt) <= 6 and one.size == USUAL_CONTEXT_TOKENS for one in is_open)
    named = [one for one in asked if not one.temperature_milli]
    assert all(7 <= len(one.prompt) <= 9 and one.tokens_max == 3 for one in named)
    assert len(is_open) > len(named) > 0
    state = final(world)
    assert all((one.agreements > 0, one.dissents, one.missed_duties) == (True, 0, 0) for one in state.members.values())
    assert not any(one.is_convicted for one in state.members.values())
    assert min(one.long_cusum for one in state.members.values()) == 0
    assert state.totals["decided disputes"] > 0
