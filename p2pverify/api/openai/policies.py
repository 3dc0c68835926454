"""What a client says of checks: in the field `p2pverify` of its request, or after the model's name.

A suffix is for clients that cannot send fields of their own: `MODEL@n5z10` is `{"panel": 5, "every": 10}`, and `@n5` or
`@z10` is half of it. What a request leaves out is as in the node's config.toml.
"""

import re
from dataclasses import dataclass

from p2pverify.api.openai.errors import OpenAIError, refused_parameter
from p2pverify.api.openai.requests import CheckWish
from p2pverify.core.encoding.peerid import key_of
from p2pverify.core.errors import DecodeError
from p2pverify.core.plan import PANEL_MAX, PLAN_REQUESTS_MAX
from p2pverify.core.window import CheckPolicy
from p2pverify.node.clients.book import ReportWish
from p2pverify.node.clients.door import Door

#: The panel of a client that says how often to check, where the node has no panel of its own. It has a majority.
PANEL = 3
_SUFFIX = re.compile(r"(?:n([1-9]\d{0,5}))?(?:z([1-9]\d{0,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model's name without its suffix, and what the suffix says."""

    name: str
    panel: int | None = None
    every: int | None = None


def named_model(text: str) -> NamedModel:
    """Take a model's name apart. Raises OpenAIError for a suffix that says nothing."""
    name, at, suffix = text.rpartition("@")
    if not at:
        return NamedModel(text)
    found = _SUFFIX.fullmatch(suffix)
    if not suffix or found is None:
        message = f"after '@' stands how to check, such as n5, z10 or n5z10, not {suffix[:40]!a}"
        raise refused_parameter("model", message)
    panel, every = (None if number is None else int(number) for number in found.groups())
    for letter, number, most in (("n", panel, PANEL_MAX), ("z", every, PLAN_REQUESTS_MAX)):
        if number is not None and number > most:
            raise refused_parameter("model", f"{letter} is from 1 to {most}, not {number}")
    return NamedModel(name, panel, every)


def wanted_policy(door: Door, model: NamedModel, wish: CheckWish | None) -> CheckPolicy:
    """The policy of a request. Raises OpenAIError if field and suffix contradict each other."""
    asked = wish or CheckWish()
    panel = _one("panel", asked.panel, model.panel)
    every = _one("every", asked.every, model.every)
    if panel is None:
        panel = door.policy.panel if every is None or door.policy.panel > 1 else PANEL
    return CheckPolicy(panel, door.policy.every if every is None else every)


def wanted_peer(door: Door, model: NamedModel, wish: CheckWish | None) -> bytes | None:
    """The peer that is to be asked, None for the node's choice. Raises OpenAIError."""
    if wish is None or wish.peer is None:
        return None
    if (wish.panel, wish.every, model.panel, model.every) != (None,) * 4:
        raise refused_parameter("p2pverify.peer", "one peer cannot be a panel; leave panel and every out")
    try:
        peer = key_of(wish.peer)
    except DecodeError:
        raise refused_parameter("p2pverify.peer", "this is not a peer id (12D3Koo...)") from None
    if not door.knows(peer):
        message = "p2pverify.peer: the newest final view has no such peer with the model of this node"
        raise OpenAIError(404, "no_such_peer", message, "p2pverify.peer")
    return peer


def wanted_report(door: Door, wish: CheckWish | None) -> ReportWish:
    """What others may learn of a wrong answer."""
    return door.report if wish is None or wish.report is None else wish.report


def _one(name: str, field: int | None, suffix: int | None) -> int | None:
    if field is not None and suffix is not None and field != suffix:
        raise refused_parameter(f"p2pverify.{name}", "it differs from the suffix of the model; give one of them")
    return suffix if field is None else field
