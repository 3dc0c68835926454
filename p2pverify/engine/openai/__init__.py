"""An engine that is a server elsewhere, spoken to as one speaks to OpenAI's: what it can do is found by probing."""

from p2pverify.engine.openai.engine import OpenAIEngine
from p2pverify.engine.openai.http import KEY_VARIABLE, Endpoint

__all__ = ["KEY_VARIABLE", "Endpoint", "OpenAIEngine"]
