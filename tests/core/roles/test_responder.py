"""The answers that a responder keeps: a total limit, and the requester with the most answers loses first."""

import pytest

from p2pverify.core.contract.output import Output
from p2pverify.core.events import StoredAnswer
from p2pverify.core.roles import responder
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.responder import Responder
from tests.support.networks import make_network, seeds

IDENTITIES = seeds(3)
HONEST, FLOODER = b"h" * 32, b"f" * 32


def _question(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _keeper() -> Responder:
    return Responder(Context(make_network(IDENTITIES), IDENTITIES[0], 0), 64)


def _ask(keeper: Responder, requester: bytes, numbers: range) -> None:
    for number in numbers:
        keeper.remember(StoredAnswer(requester, _question(number), Output((number % 7,), "stop")))


def _known(keeper: Responder, requester: bytes, numbers: range) -> list[int]:
    return [number for number in numbers if keeper.known_output(requester, _question(number)) is not None]


def test_answers_are_kept_up_to_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers to one requester are removed first."""
    monkeypatch.setattr(responder, "ANSWERS_KEPT", 10)
    keeper = _keeper()
    _ask(keeper, HONEST, range(25))
    assert _known(keeper, HONEST, range(25)) == list(range(15, 25))


def test_who_asks_most_loses_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand questions of one requester do not remove the few answers to another. A repeat takes no room."""
    monkeypatch.setattr(responder, "ANSWERS_KEPT", 10)
    keeper = _keeper()
    _ask(keeper, HONEST, range(4))
    _ask(keeper, FLOODER, range(1000))
    assert _known(keeper, HONEST, range(4)) == [0, 1, 2, 3]
    assert _known(keeper, FLOODER, range(1000)) == list(range(994, 1000))
    _ask(keeper, HONEST, range(4))
    assert len(_known(keeper, FLOODER, range(1000))) == 6


def test_many_requesters_share_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """If each requester has one answer, those of the keys with the most room are removed, and the limit holds."""
    monkeypatch.setattr(responder, "ANSWERS_KEPT", 10)
    keeper = _keeper()
    names = [bytes([number]) * 32 for number in range(50)]
    for name in names:
        _ask(keeper, name, range(1))
    assert sum(len(_known(keeper, name, range(1))) for name in names) == 10
