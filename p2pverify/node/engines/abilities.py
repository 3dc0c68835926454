"""What an engine must be able to do for a network."""

from p2pverify.core.contract.network import Network
from p2pverify.node.ports import GENERATE, GREEDY, ModelInfo
from p2pverify.node.user_error import UserError


class CannotAnswerError(UserError):
    """The engine cannot answer the questions that others will ask."""


def check_abilities(network: Network, info: ModelInfo) -> None:
    """Raises CannotAnswerError if the engine cannot answer at the temperatures of the rules."""
    params = network.params
    heats = [shape.temperature_milli for shape in params.shapes]
    asks_greedy = not any(heats) if heats else params.temperature_milli == 0 or params.greedy_percent == 100
    if GENERATE not in info.can and not (GREEDY in info.can and asks_greedy):
        raise CannotAnswerError(
            f"{info.engine} cannot answer at the temperatures of network {network.name!r}",
            "let the server show more log-probabilities, or choose another engine; 'p2pverify model selftest' says "
            "what an engine can do",
        )
