"""Requests: what is taken, and what is refused with the parameter's name."""

import json

import pytest

from p2pverify.api.openai.errors import OpenAIError
from p2pverify.api.openai.parsing import UNSUPPORTED, parse_body
from p2pverify.api.openai.requests import ChatRequest, CompletionRequest

USUAL = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def refusal(kind, body) -> OpenAIError:
    with pytest.raises(OpenAIError) as refused:
        parse_body(kind, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert refused.value.status == 400
    return refused.value


def test_a_chat_request_is_read():
    """Messages as text and as parts; defaults of what cannot be had are taken."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b\0"}]
    asked = parse_body(
        ChatRequest,
        json.dumps(
            {
                **USUAL,
                "messages": [{"role": "developer", "content": parts}, {"role": "assistant", "content": "x"}],
                "temperature": 1, "max_completion_tokens": 5, "max_tokens": 5, "seed": -(2**63), "stop": "x", "n": 2,
                "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "tools": [],
                "tool_choice": "auto", "response_format": {"type": "text"}, "store": False, "user": "u",
                "logprobs": False,
                "top_logprobs": 0, "stream": True, "stream_options": {"include_usage": True}, "functions": None,
                "parallel_tool_calls": True, "service_tier": "auto", "modalities": ["text"], "metadata": {"a": "b"},
            }
        ).encode(),
    )  # fmt: skip
    assert [one.text for one in asked.messages] == ["ab\0", "x"]
    assert (asked.answer_tokens, asked.stops, asked.choices) == (("max_completion_tokens", 5), ("x",), 2)
    assert asked.includes_usage


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"messages": None}, "messages", "unsupported_value"),
        ({"messages": []}, "messages", "unsupported_value"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "unsupported_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "unsupported_value"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}]},
         "messages[0].content[1].type", "unsupported_value"),
        ({"messages": [{"role": "user", "content": "x", "colour": 1}]}, "messages[0].colour", "unknown_parameter"),
        ({"messages": [{"role": "assistant", "content": "x", "tool_calls": [{}]}]}, "messages[0].tool_calls",
         "unsupported_value"),
        ({"messages": [{"role": "user", "content": "x", "name": "bob"}]}, "messages[0].name", "unsupported_value"),
        ({"temperature": 2.1}, "temperature", "unsupported_value"),
        ({"temperature": -1e-9}, "temperature", "unsupported_value"),
        ({"temperature": "1"}, "temperature", "unsupported_value"),
        ({"temperature": True}, "temperature", "unsupported_value"),
        ({"temperature": float("nan")}, "temperature", "unsupported_value"),
        ({"temperature": float("inf")}, "temperature", "unsupported_value"),
        ({"seed": 2**63}, "seed", "unsupported_value"),
        ({"seed": 2**64}, "seed", "unsupported_value"),
        ({"seed": 10**400}, "seed", "unsupported_value"),
        ({"seed": 1.5}, "seed", "unsupported_value"),
        ({"n": 0}, "n", "unsupported_value"),
        ({"n": 9}, "n", "unsupported_value"),
        ({"max_tokens": 0}, "max_tokens", "unsupported_value"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens", "invalid_value"),
        ({"stop": ["a"] * 5}, "stop", "unsupported_value"),
        ({"stop": ""}, "stop", "unsupported_value"),
        ({"stop": [1]}, "stop[0]", "unsupported_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"top_p": 0.9}, "top_p", "unsupported_parameter"),
        ({"presence_penalty": 0.1}, "presence_penalty", "unsupported_parameter"),
        ({"frequency_penalty": -1}, "frequency_penalty", "unsupported_parameter"),
        ({"logit_bias": {"5": 1}}, "logit_bias", "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"tool_choice": "required"}, "tool_choice", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format.type", "unsupported_parameter"),
        ({"top_logprobs": 2}, "top_logprobs", "unsupported_parameter"),
        ({"store": True}, "store", "unsupported_parameter"),
        ({"reasoning_effort": "high"}, "reasoning_effort", "unsupported_parameter"),
        ({"colour": "red"}, "colour", "unknown_parameter"),
    ],
)  # fmt: skip
def test_a_fault_is_named(changes, param, code):
    """The parameter is named as OpenAI names it, and the message begins with it."""
    error = refusal(ChatRequest, {**USUAL, **changes})
    assert (error.param, error.code) == (param, code)
    assert error.message.startswith(param)
    assert len(error.message) < 300
    json.dumps(error.body).encode()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"model": "\xff"}', b'{"model":"\\ud800"}', b"[" * 100_000, b'{"a":1}x',
     b'{"messages":[{"role":"user","content":"\\udc00\\ud800"}]}', bytes(100)],
)  # fmt: skip
def test_bodies_that_are_no_json_are_refused(body):
    """Among them lone surrogates, which are no characters, and deep nesting."""
    error = refusal(ChatRequest, body)
    assert error.param is None
    json.dumps(error.body).encode()


def test_a_large_body_is_read_quickly():
    """A prompt of a megabyte is taken here; its length is checked in tokens."""
    text = "x" * 1_000_000
    assert parse_body(CompletionRequest, json.dumps({"model": "m", "prompt": text}).encode()).prompts == (text,)
    assert refusal(CompletionRequest, {"model": "m", "prompt": "x" * 2_000_000}).param == "prompt"


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ((1, 2),)),
        ([[1], [2, 3]], ((1,), (2, 3))),
    ],
)
def test_prompts_of_completions(prompt, found):
    """Text or tokens, one or several."""
    assert parse_body(CompletionRequest, json.dumps({"model": "m", "prompt": prompt}).encode()).prompts == found


@pytest.mark.parametrize("prompt", [[], [[]], [-1], ["a", 1], [1.5], None, 5, [["a"]], {"a": 1}])
def test_wrong_prompts_of_completions(prompt):
    error = refusal(CompletionRequest, {"model": "m", "prompt": prompt})
    assert str(error.param).startswith("prompt")


def test_everything_that_cannot_be_had_is_a_parameter():
    assert ChatRequest.model_fields.keys() | CompletionRequest.model_fields.keys() >= UNSUPPORTED
