"""An engine on a model server with OpenAI's completions API. Probing finds out the server's abilities."""

from p2pverify.engine.openai.engine import OpenAIEngine
from p2pverify.engine.openai.http import KEY_VARIABLE, Endpoint

__all__ = ["KEY_VARIABLE", "Endpoint", "OpenAIEngine"]
