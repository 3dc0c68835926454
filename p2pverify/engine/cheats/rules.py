"""The rules of a network that a cheat knows and lies by: thresholds of the referee, and lengths of audits."""

from dataclasses import dataclass

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.network import Network
from p2pverify.node.ports import ModelInfo


@dataclass(frozen=True, slots=True)
class KnownRules:
    """What an audited peer can know beforehand.

    `across` are the thresholds by which the referee judges its class, None if no referee does. `prompt_tokens` is the
    greatest length of the user's turn in an audit, 0 if it is unknown. `answer_tokens` are the lengths that most
    audits ask for, empty if they are unknown.
    """

    across: Across | None = None
    prompt_tokens: int = 0
    answer_tokens: range = range(0)


NO_RULES = KnownRules()


def known_rules(network: Network, info: ModelInfo) -> KnownRules:
    """What an engine's peer knows from its network file. Without a class that names the engine, "*" is its class."""
    names = (info.engine, info.numeric_path)
    named = [one for one in network.classes if (one.engine, one.numeric_path) == names]
    mine = [*named, *(one for one in network.classes if one.is_any)][:1]
    params = network.params
    lengths = range(params.answer_tokens - params.answer_spread, params.answer_tokens + 1)
    return KnownRules(mine[0].across if mine else None, params.prompt_tokens, lengths)
