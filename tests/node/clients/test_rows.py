"""The door of a node whose network serves a model of rows: clients read a label and its probability."""

import json

import trio

from p2pverify.api.openai.text import TextWriter
from p2pverify.core.window import CheckPolicy
from p2pverify.engine.tabular.engine import TabularEngine
from p2pverify.engine.tabular.model import initial
from p2pverify.engine.tabular.words import TabularLanguage
from p2pverify.node.clients.language import Message
from tests.node.clients.test_fullcheck import answered
from tests.support import doors
from tests.support.datasets import SCHEMA
from tests.support.doors import grown_world, open_door

LANGUAGE = TabularLanguage(SCHEMA)


class Rows(TabularEngine):
    """Answers rows as the model before any training does."""

    def __init__(self) -> None:
        super().__init__(initial(SCHEMA))


async def test_a_row_gets_a_label_with_its_probability(tmp_path, monkeypatch):
    monkeypatch.setattr(doors, "GatedToy", Rows)
    prompt = LANGUAGE.chat([Message("user", json.dumps({"mean radius": 17.99}))], 100)
    with trio.fail_after(60):
        async with open_door(tmp_path, grown_world(5), open_language=lambda _: LANGUAGE) as bench:
            asked = {"prompts": (prompt,), "temperature_milli": 0, "tokens_max": 16, "policy": CheckPolicy(3, 1)}
            opened, tokens = await answered(bench, **asked)
    writer = TextWriter(LANGUAGE.piece, ())
    assert writer.feed(tokens) + writer.end() == "benign 0.500"  # two labels, and nothing learned yet
    (check,) = opened.document.checks
    assert (check.agree, check.differ) == (3, 0)
    assert {answer.text for answer in opened.document.answers} == {"benign 0.500"}
    assert all(answer.finish == "stop" for answer in opened.document.answers)
