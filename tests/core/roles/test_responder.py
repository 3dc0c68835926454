"""The answers that a responder keeps: a total limit, and the requester with the most answers loses first."""

import pytest

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding import sign
from p2pverify.core.events import Compute, Computed, Effect, Follow, HeldModel, Persist, Respond, StoredAnswer
from p2pverify.core.inference.question import (
    CONTEXT_TOKENS_MAX,
    Question,
    Request,
    RequestRefused,
    decode_response,
    encode_request,
    patience_ms,
    sign_request,
)
from p2pverify.core.roles import responder
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.responder import ANSWER_TOKENS_MIN, Responder
from p2pverify.core.roles.settle.creditor import Creditor
from p2pverify.core.settle.credit import DEFAULT_CREDIT
from tests.support.networks import MANIFEST, make_network, seeds

IDENTITIES = seeds(3)
HONEST, FLOODER = b"h" * 32, b"f" * 32


def _question(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _keeper(context_tokens: int = 64) -> Responder:
    held = HeldModel(MANIFEST, context_tokens)
    context = Context(make_network(IDENTITIES), IDENTITIES[0], 0, held=held)
    return Responder(context, Creditor(context, DEFAULT_CREDIT))


def _ask(keeper: Responder, requester: bytes, numbers: range) -> None:
    for number in numbers:
        keeper.remember(StoredAnswer(requester, _question(number), Output((number % 7,), "stop")))


def _known(keeper: Responder, requester: bytes, numbers: range) -> list[int]:
    return [number for number in numbers if keeper.known_output(requester, _question(number)) is not None]


def test_answers_are_kept_up_to_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers to one requester are removed first."""
    monkeypatch.setattr(responder, "ANSWER_TOKENS_KEPT", 10 * ANSWER_TOKENS_MIN)
    keeper = _keeper()
    _ask(keeper, HONEST, range(25))
    assert _known(keeper, HONEST, range(25)) == list(range(15, 25))


def test_who_asks_most_loses_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand questions of one requester do not remove the few answers to another. A repeat takes no room."""
    monkeypatch.setattr(responder, "ANSWER_TOKENS_KEPT", 10 * ANSWER_TOKENS_MIN)
    keeper = _keeper()
    _ask(keeper, HONEST, range(4))
    _ask(keeper, FLOODER, range(1000))
    assert _known(keeper, HONEST, range(4)) == [0, 1, 2, 3]
    assert _known(keeper, FLOODER, range(1000)) == list(range(994, 1000))
    _ask(keeper, HONEST, range(4))
    assert len(_known(keeper, FLOODER, range(1000))) == 6


def test_many_requesters_share_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """If each requester has one answer, those of the keys with the most room are removed, and the limit holds."""
    monkeypatch.setattr(responder, "ANSWER_TOKENS_KEPT", 10 * ANSWER_TOKENS_MIN)
    keeper = _keeper()
    names = [bytes([number]) * 32 for number in range(50)]
    for name in names:
        _ask(keeper, name, range(1))
    assert sum(len(_known(keeper, name, range(1))) for name in names) == 10


def test_long_answers_take_the_room_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded in tokens, so the requester of long answers loses first, although it has asked less often."""
    monkeypatch.setattr(responder, "ANSWER_TOKENS_KEPT", 10 * ANSWER_TOKENS_MIN)
    keeper = _keeper()
    _ask(keeper, HONEST, range(4))
    for number in range(3):
        keeper.remember(StoredAnswer(FLOODER, _question(number), Output((1,) * 3 * ANSWER_TOKENS_MIN, "length")))
    assert _known(keeper, HONEST, range(4)) == [0, 1, 2, 3]
    assert _known(keeper, FLOODER, range(3)) == [1, 2]
    assert keeper._tokens_kept == sum(keeper._kept.values()) == 10 * ANSWER_TOKENS_MIN


ASKER = IDENTITIES[1]
NOW_MS = make_network(IDENTITIES).params.epoch_start_ms(1)


def _request(keeper: Responder, prompt: int, tokens_max: int, nonce: int = 0) -> tuple[Request, bytes]:
    context, asker = keeper._context, sign.public_key(ASKER)
    question = Question(MANIFEST.digest, (1,) * prompt, tokens_max, 0, bytes(16), asker)
    request = Request(context.network_id, asker, context.key, question.id, _question(nonce), 40)
    return request, encode_request(request, question, sign_request(ASKER, request))


def _serve(keeper: Responder, ticket: int, prompt: int, tokens_max: int) -> list[Effect]:
    request, data = _request(keeper, prompt, tokens_max, ticket)
    return list(keeper.serve(ticket, data, request.requester, NOW_MS, 5000))


def test_questions_are_as_long_as_the_engines_context() -> None:
    """A question that fills the context is computed, one token more is refused, however it is divided."""
    keeper = _keeper(CONTEXT_TOKENS_MAX)
    for prompt in (1, 4097, 100_000, CONTEXT_TOKENS_MAX):
        compute, follow = _serve(keeper, prompt, prompt, CONTEXT_TOKENS_MAX - prompt)
        assert isinstance(compute, Compute)
        assert follow == Follow(prompt, compute.job)
    small = _keeper(6000)
    assert len(_serve(small, 1, 5000, 1000)) == 2
    request, data = _request(small, 5001, 1000)
    (refused,) = small.serve(2, data, request.requester, NOW_MS)
    assert isinstance(refused, Respond)
    with pytest.raises(RequestRefused, match="prompt-too-long: 6000 tokens are the most of prompt and answer together"):
        decode_response(refused.data, request)


def test_waiting_questions_are_bounded_in_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound further questions are refused as busy. A question for which others wait takes no more room."""
    monkeypatch.setattr(responder, "WAITING_TOKENS_MAX", 10_000)
    keeper = _keeper(6000)
    first, follow = _serve(keeper, 1, 4000, 2000)
    assert isinstance(first, Compute)
    assert follow == Follow(1, first.job)
    second, _ = _serve(keeper, 2, 3000, 1000)
    assert isinstance(second, Compute)
    (refused,) = _serve(keeper, 3, 1, 1)
    assert isinstance(refused, Respond)
    assert b"busy" in refused.data
    assert _serve(keeper, 4, 4000, 2000) == [Follow(4, first.job)]
    done = keeper._computed(next(iter(keeper._waiting)), Computed(first.job, (), Output((1,), "length"), 1, 1, 1), 0)
    persisted, *responses = done
    assert isinstance(persisted, Persist)
    assert [(each.ticket, each.tokens) for each in responses if isinstance(each, Respond)] == [(1, (1,)), (4, (1,))]
    assert len(_serve(keeper, 5, 5000, 1000)) == 2


def test_long_questions_have_more_time() -> None:
    """A question of the owed lengths has the contract's deadline, also with the template around its prompt."""
    keeper = _keeper(100_000)
    params = keeper._context.params
    owed = params.prompt_tokens + params.answer_tokens
    assert patience_ms(params, 1) == patience_ms(params, 2 * owed - 1) == params.deadline_ms
    assert patience_ms(params, 10 * owed) == 10 * params.deadline_ms
    for count, prompt in enumerate((1, 10 * owed), 1):
        compute, _ = _serve(keeper, count, prompt, 1)
        assert isinstance(compute, Compute)
        expected = NOW_MS + min(5000, params.deadline_ms) + patience_ms(params, prompt + 1) - params.deadline_ms
        assert compute.deadline_ms == min(expected, params.epoch_start_ms(41))
