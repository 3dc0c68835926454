"""What a client says of checks: in the field `p2pverify` of its request, or after the model's name.

`{"panel": 5, "every": 10}` and the suffix `@n5z10` say the same. What a request leaves out is as in the node's
config.toml.
"""

from p2pverify.api.openai.errors import OpenAIError, refused_parameter
from p2pverify.api.openai.requests import CheckWish
from p2pverify.core.encoding.peerid import key_of
from p2pverify.core.errors import DecodeError
from p2pverify.core.window import CheckPolicy
from p2pverify.node.clients.book import ReportWish
from p2pverify.node.clients.door import Door
from p2pverify.node.clients.models import named
from p2pverify.node.clients.models.named import NamedModel, PolicyError
from p2pverify.node.clients.models.served import ServedModel


def named_model(text: str) -> NamedModel:
    """Take a model's name apart. Raises OpenAIError for a suffix that says nothing."""
    try:
        return named.named_model(text)
    except ValueError as error:
        raise refused_parameter("model", str(error)) from None


def wanted_model(door: Door, name: str, wish: CheckWish | None = None) -> ServedModel:
    """The model of the network that a client names. Raises OpenAIError."""
    found = door.catalog.named(name, None if wish is None else _peer(wish))
    if not found:
        known = ", ".join(repr(one.name) for one in door.catalog.all())
        raise OpenAIError(404, "model_not_found", f"the network has no model {name[:80]!r}, only {known}", "model")
    if len(found) > 1:
        digests = " or ".join(one.digest.hex() for one in found)
        message = f"{len(found)} models of the network are called {name[:80]!r}; name one by its manifest: {digests}"
        raise refused_parameter("model", message)
    return found[0]


def wanted_policy(door: Door, model: NamedModel, wish: CheckWish | None) -> CheckPolicy:
    """The policy of a request. Raises OpenAIError if field and suffix contradict each other."""
    asked = wish or CheckWish()
    try:
        return model.policy(door.policy, asked.panel, asked.every)
    except PolicyError as error:
        raise refused_parameter(f"p2pverify.{error.name}", str(error)) from None


def wanted_peer(served: ServedModel, model: NamedModel, wish: CheckWish | None) -> bytes | None:
    """The peer that is to be asked, None for the node's choice. Raises OpenAIError."""
    if wish is None or wish.peer is None:
        return None
    if (wish.panel, wish.every, model.panel, model.every) != (None,) * 4:
        raise refused_parameter("p2pverify.peer", "one peer cannot be a panel; leave panel and every out")
    peer = _peer(wish)
    if peer is None:
        raise refused_parameter("p2pverify.peer", "this is not a peer id (12D3Koo...)")
    if not served.knows(peer):
        message = f"p2pverify.peer: the newest final view has no such peer that serves {served.name}"
        raise OpenAIError(404, "no_such_peer", message, "p2pverify.peer")
    return peer


def _peer(wish: CheckWish) -> bytes | None:
    """The peer that is named; None if none is, or if it is no peer id."""
    try:
        return None if wish.peer is None else key_of(wish.peer)
    except DecodeError:
        return None


def wanted_report(door: Door, wish: CheckWish | None) -> ReportWish:
    """What others may learn of a wrong answer."""
    return door.report if wish is None or wish.report is None else wish.report
