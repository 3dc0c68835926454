"""Audits of toy servers: dialects, verdicts, faults of the server, and evidence that is computed again."""

import time
from dataclasses import replace
from typing import Any

import pytest

from p2pverify.core.inference.compare import Verdict
from p2pverify.core.inference.endpoint import Api, AuditPlan, Reading, decode_endpoint_evidence
from p2pverify.engine.endpoint.causes import find_endpoint_cause
from p2pverify.engine.endpoint.client import EndpointClient, read_reply
from p2pverify.engine.endpoint.judge import EndpointJudge
from p2pverify.engine.endpoint.rescore import find_difference
from p2pverify.engine.endpoint.run import FAILURES_MAX, EndpointAudit
from p2pverify.engine.openai import Endpoint
from p2pverify.engine.openai.http import ServerError
from tests.support.endpoints import ChatServer, serve, toy_chat, toy_manifest, toy_referee

PLAN = AuditPlan(Api.CHAT, 12, 12, 16, "Be brief.", bytes(range(16)))


def quiet(*_: object) -> None:
    pass


def audited(
    server: ChatServer, plan: AuditPlan = PLAN, *, answer_s: float = 20.0, corpus: tuple[str, ...] = ()
) -> EndpointAudit:
    with serve(server) as url:
        referee = toy_referee()
        client = EndpointClient(Endpoint(url, key="secret"), plan, answer_s=answer_s)
        audit = EndpointAudit(client, EndpointJudge(referee, plan, corpus), plan, toy_manifest(), "toy-exact/1")
        audit.run(60.0, quiet)
        client.close()
        return audit


@pytest.mark.parametrize("names", ["ids", "token_ids", "text"])
@pytest.mark.parametrize("api", list(Api))
def test_an_honest_server_matches(names: str, api: Api) -> None:
    """Another numeric path, in each dialect. The evidence is computed again from its bytes."""
    plan = replace(PLAN, api=api)
    server = ChatServer(toy_chat(names=names), key="secret")
    audit = audited(server, plan)
    assert (audit.conclusion.verdict, audit.conclusion.judged) == (Verdict.MATCH, 12)
    assert audit.conclusion.mismatches == 0
    reading = Reading.TEXT if names == "text" else Reading.TOKENS
    assert {answer.reading for answer in audit.answers} == {reading}
    assert {body["temperature"] for body in server.requests} == {0}
    assert all(answer.counted == len(answer.prompt) for answer in audit.answers)
    assert len({answer.turn for answer in audit.answers}) > 10
    found = decode_endpoint_evidence(audit.evidence.encode())
    assert find_difference(found, toy_referee(), quiet) is None


@pytest.mark.parametrize("names", ["ids", "text"])
def test_another_model_is_accused(names: str) -> None:
    """The audit ends early, and the evidence is computed again."""
    audit = audited(ChatServer(toy_chat("cheaper", names=names)))
    assert audit.conclusion.verdict is Verdict.MISMATCH
    assert audit.conclusion.asked < 10
    assert find_difference(decode_endpoint_evidence(audit.evidence.encode()), toy_referee(), quiet) is None


def test_another_system_message_is_the_cause() -> None:
    """The server drops the system message, so answers fit a prompt without one."""
    honest = toy_chat()
    audit = audited(ChatServer(lambda body: honest({**body, "messages": body["messages"][1:]})))
    found = find_endpoint_cause(PLAN, audit.answers, audit.bounds, toy_referee(), lambda _: True, quiet)
    assert found is not None
    assert (found.cause, "no system message" in found.finding) == ("other prompt", True)


def test_a_server_that_samples_is_told() -> None:
    """Two answers to one question differ."""
    models = iter(toy_chat(f"model {number}") for number in range(100))

    def sampled(body: dict[str, Any]) -> Any:
        return next(models)(body)

    with serve(ChatServer(sampled)) as url:
        client = EndpointClient(Endpoint(url), PLAN)
        judge = EndpointJudge(toy_referee(), PLAN)
        audit = EndpointAudit(client, judge, PLAN, toy_manifest(), "toy-exact/1")
        audit.run(60.0, quiet)
        found = find_endpoint_cause(PLAN, audit.answers, audit.bounds, toy_referee(), audit.ask_again, quiet)
    assert found is not None
    assert found.cause == "other sampling"


def test_questions_from_a_corpus() -> None:
    """Only lines that fit are asked."""
    plan = replace(PLAN, corpus=bytes(32), requests=6)
    audit = audited(ChatServer(toy_chat()), plan, corpus=("one", "two", "three", "<|x", "x" * 500))
    assert {answer.turn for answer in audit.answers} <= {"one", "two", "three"}
    assert find_difference(decode_endpoint_evidence(audit.evidence.encode()), toy_referee(), quiet) is None
    with pytest.raises(ValueError, match="no prompt of the file"):
        EndpointJudge(toy_referee(), plan, ("x" * 500,))


def test_changed_evidence_is_refuted() -> None:
    """A token, a question, or a prompt of the auditor's own choice."""
    evidence = audited(ChatServer(toy_chat())).evidence
    first = evidence.answers[0]
    for other, what in (
        (replace(first, tokens=(first.tokens[0] ^ 1, *first.tokens[1:])), "has the measure"),
        (replace(first, turn="my own question"), "does not follow from the seed"),
        (replace(first, prompt=first.prompt[1:]), "does not follow from the seed"),
    ):
        forged = replace(evidence, answers=(other, *evidence.answers[1:]))
        found = find_difference(forged, toy_referee(), quiet)
        assert found is not None
        assert what in found


def reply(**changes: Any) -> dict[str, Any]:
    choice = {"message": {"content": "abc"}, "finish_reason": "length", **changes}
    return {"choices": [choice], "usage": {"completion_tokens": 3}}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"garbage", "JSON"),
        (b"[]", "JSON object"),
        ({}, "shape"),
        ({"choices": []}, "shape"),
        (reply(message=None), "no text"),
        (reply(message={"content": 5}), "no text"),
        (reply(finish_reason=None), "no text or no finish_reason"),
        (b"{" + b" " * 2_000_000, "sends more than"),
        (b'{"choices": ' + b"[" * 50_000, "JSON"),
        (b'{"choices": NaN}', "JSON"),
    ],
)
def test_answers_of_another_form(document: Any, said: str) -> None:
    """If the first one is unusable, the audit says so. Later ones are not judged, and a row of them ends the audit."""
    with pytest.raises(ServerError, match=said):
        audited(ChatServer(lambda _: document))
    honest = toy_chat()
    count = iter(range(100))
    audit = audited(ChatServer(lambda body: document if next(count) else honest(body)))
    assert audit.conclusion.judged == 1
    assert audit.conclusion.asked == 1 + FAILURES_MAX
    assert said in audit.answers[-1].reason
    assert audit.stopped
    decode_endpoint_evidence(audit.evidence.encode())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"finish_reason": "content_filter"}, "ended for another reason"),
        ({"token_ids": [1, 2, 3]}, "not those of the text"),
        ({"message": {"content": "x" * 9000}}, "longer than"),
        ({"message": {"content": "half \ud800"}}, "no Unicode"),
        ({"token_ids": [True], "message": {"content": "abcd"}}, "the server reports 3"),
        ({"token_ids": "abc", "message": {"content": "abcd"}}, "the server reports 3"),
        ({"logprobs": {"content": [{"id": -1}]}, "message": {"content": "abcd"}}, "the server reports 3"),
        ({"message": {"content": ""}}, "the server reports 3"),
    ],
)
def test_answers_that_cannot_be_judged(changes: dict[str, Any], reason: str) -> None:
    """They count neither for nor against the server, and a server with only such answers gets no match."""
    audit = audited(ChatServer(lambda _: reply(**changes)), replace(PLAN, requests=3))
    assert [answer.reading for answer in audit.answers] == [Reading.NONE] * len(audit.answers)
    assert all(reason in answer.reason for answer in audit.answers)
    assert audit.conclusion.verdict is Verdict.INCONCLUSIVE
    decode_endpoint_evidence(audit.evidence.encode())


def test_without_a_count_a_text_is_not_judged() -> None:
    """Tokens could have been others."""
    audit = audited(ChatServer(lambda _: {"choices": reply()["choices"]}), replace(PLAN, requests=2))
    assert "neither its tokens nor their number" in audit.answers[0].reason


def test_tokens_outside_the_vocabulary_are_a_mismatch() -> None:
    """No engine can score them, and the honest model never says them."""
    audit = audited(ChatServer(lambda _: reply(token_ids=[7, 7000, 7])))
    assert audit.conclusion.verdict is Verdict.MISMATCH


def test_an_answer_that_is_too_long_is_a_mismatch() -> None:
    """The server ignores the length that was asked for."""
    honest = toy_chat()
    audit = audited(ChatServer(lambda body: honest({**body, "max_tokens": 40})))
    assert audit.conclusion.verdict is Verdict.MISMATCH
    assert max(len(answer.tokens) for answer in audit.answers) == PLAN.answer_tokens + 1


def test_a_stalling_server_ends_in_time() -> None:
    """Also one that sends a byte of the head now and then."""
    with pytest.raises(ServerError, match="in time"):
        audited(ChatServer(lambda _: time.sleep(3)), answer_s=0.3)


def test_a_dripping_server_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No single read ever waits long, so a timer ends the exchange."""
    monkeypatch.setattr("p2pverify.engine.openai.http.CONNECT_S", 0.5)
    with pytest.raises(ServerError, match="in time"):
        audited(ChatServer(toy_chat(), drip_s=0.05), answer_s=0.5)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (ChatServer(toy_chat(), key="another"), "wants another key"),
        (ChatServer(toy_chat(), status=302, location="http://192.0.2.1/"), "fails: 302"),
        (ChatServer(toy_chat(), status=500), "fails: 500"),
        (ChatServer(lambda _: (400, {"error": "no"})), "refuses: 400"),
    ],
)
def test_a_server_that_does_not_want_to(server: ChatServer, said: str) -> None:
    """Redirects are not followed, and the key goes nowhere else."""
    with pytest.raises(ServerError, match=said):
        audited(server)


def test_a_busy_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few times, with longer and longer pauses."""
    waits: list[float] = []
    monkeypatch.setattr("p2pverify.engine.endpoint.client.time.sleep", waits.append)
    honest, count = toy_chat(), iter(range(100))
    audit = audited(ChatServer(lambda body: (429, {}) if next(count) % 3 else honest(body)), replace(PLAN, requests=3))
    assert audit.conclusion.judged == 3
    assert waits == [1.0, 2.0] * 2
    with pytest.raises(ServerError, match="is busy: 429"):
        audited(ChatServer(lambda _: (429, {"error": {"message": "slow down"}})))


def test_ids_are_read_from_every_place() -> None:
    """vLLM's fields, names like "token_id:7" in both shapes, and llama-server's ids."""
    for changes in (
        {"token_ids": [7, 8]},
        {"logprobs": {"content": [{"token": "token_id:7"}, {"token": "token_id:8"}]}},
        {"logprobs": {"content": [{"id": 7}, {"token_id": 8}]}},
        {"logprobs": {"tokens": ["token_id:7", "token_id:8"]}},
    ):
        assert read_reply(reply(**changes), Api.CHAT).ids == (7, 8)
    for odd in ({"logprobs": {"content": [{"token": "token_id:9" * 9}]}}, {"logprobs": 5}, {"token_ids": [1.5]}):
        assert read_reply(reply(**odd), Api.CHAT).ids is None
