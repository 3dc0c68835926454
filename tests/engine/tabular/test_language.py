"""Rows of clients, and answers as they read them."""

import json
from pathlib import Path

import pytest

from p2pverify.core.contract.output import Ask
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.language import TABULAR_TEMPLATE, find_language, language_of
from p2pverify.engine.tabular.engine import TabularEngine
from p2pverify.engine.tabular.manifest import tabular_manifest
from p2pverify.engine.tabular.model import initial
from p2pverify.engine.tabular.words import TEXT_CHARS_MAX, TabularLanguage
from p2pverify.node.clients.language import Message, PromptError
from tests.support.datasets import SCHEMA

ENGINE = TabularEngine(initial(SCHEMA))
LANGUAGE = TabularLanguage(SCHEMA)
NAMES = [feature.name for feature in SCHEMA.features]


def chat(text: str, room: int = 100) -> tuple[int, ...]:
    return LANGUAGE.chat([Message("user", text)], room)


def test_a_row_is_the_same_in_json_and_in_words() -> None:
    words = "; ".join(f"{name} = {number}.5" for number, name in enumerate(NAMES))
    row = {name: number + 0.5 for number, name in enumerate(NAMES)}
    assert chat(words) == chat(json.dumps(row)) == ENGINE.encode_chat(words)
    assert chat(json.dumps({NAMES[0]: "2.5"})) == chat(f"{NAMES[0]} = 2.5")


def test_an_answer_is_a_label_and_its_probability() -> None:
    ask = Ask(chat(f"{NAMES[0]} = 3"), 16, 0, bytes(32))
    tokens = ENGINE.answer(ask).output.tokens
    text = b"".join(map(LANGUAGE.piece, tokens)).decode()
    assert text == ENGINE.decode(tokens)
    label, _, share = text.rpartition(" ")
    assert label in SCHEMA.labels
    assert 0.5 <= float(share) <= 1
    assert LANGUAGE.piece(len(SCHEMA.labels)) == LANGUAGE.piece(10**6) == LANGUAGE.piece(-1) == b""


@pytest.mark.parametrize(
    "text",
    [
        "why is the sky blue?",
        "",
        "{}",
        "{",
        '{"a": {}}',
        '{"a": null}',
        '{"a": 1e400}',
        '{"nobody": 1}',
        "nobody = 1",
        f"{NAMES[0]} = high",
        "[" * 10_000,
        "{" * 10_000,
        "x" * (TEXT_CHARS_MAX + 1),
    ],
)
def test_what_is_no_row_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(PromptError) as refused:
        chat(text)
    assert refused.value.code in ("template_error", "context_length_exceeded")
    assert "row" in str(refused.value)


def test_a_conversation_is_one_row() -> None:
    row = Message("user", f"{NAMES[0]} = 1")
    for messages in ([], [Message("system", "be kind"), row], [row, row]):
        with pytest.raises(PromptError):
            LANGUAGE.chat(messages, 100)
    with pytest.raises(PromptError):
        chat(row.content, len(NAMES) - 1)
    assert LANGUAGE.frame() == ((), ())
    assert LANGUAGE.vocab_tokens == ENGINE.info.vocab_tokens


def test_the_features_come_from_the_file_of_any_version(tmp_path: Path) -> None:
    manifest = tabular_manifest(initial(SCHEMA), "rows", "MIT", "initial")
    assert manifest.template == ENGINE.info.template_sha256 == TABULAR_TEMPLATE
    file = tmp_path / "model"
    file.write_bytes(initial(SCHEMA).encode())
    found = find_language(manifest, file)
    assert found.chat([Message("user", f"{NAMES[0]} = 1")], 100) == chat(f"{NAMES[0]} = 1")
    assert language_of(manifest, file).vocab_tokens == LANGUAGE.vocab_tokens
    with pytest.raises(WeightsError, match="no file on this machine has the features"):
        find_language(manifest)
