"""Clients of a testnet: the scenario's table, and a cheat that needs it."""

import pytest

from p2pverify.core.contract.output import Ask
from p2pverify.engine.cheats.make import make_cheat
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.toy import ToyEngine
from p2pverify.testnet.plan import PlanError, make_plan
from p2pverify.testnet.scenario import Scenario, load_scenario


def test_the_packaged_scenario_has_clients_that_audit_and_report():
    plan = make_plan(load_scenario("clients"))
    assert plan.clients is not None
    assert (plan.clients.audit_rate, plan.clients.report) == (1.0, "reveal")
    assert [peer.cheat.kind for peer in plan.cheaters if peer.cheat is not None] == ["lies-to-clients"]


def test_without_clients_there_is_nobody_to_lie_to():
    cheat = {"kind": "lies-to-clients"}
    with pytest.raises(PlanError, match="no clients"):
        make_plan(Scenario.model_validate({"cheat": [cheat]}))
    assert make_plan(Scenario.model_validate({"cheat": [cheat], "clients": {}})).clients is not None


@pytest.mark.parametrize(("argument", "text"), [("", "client"), ("guest", "guest")])
def test_it_lies_to_clients_alone(tmp_path, argument, text):
    honest, cheat = ToyEngine(), make_cheat(CheatSpec("lies-to-clients", argument), ToyEngine(), tmp_path)
    for number in range(20):
        for prompt, lies in ((f"{text} {number}", True), (f"question {number}", False)):
            asked = Ask(honest.encode_chat(prompt), 16, 800, bytes(32))
            assert (cheat.answer(asked).output != honest.answer(asked).output) == lies
