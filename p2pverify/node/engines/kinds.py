"""The kinds of engines that an operator can choose; it imports nothing, so that the command line can name them."""

from typing import Literal

EngineKind = Literal["llama", "exact", "openai", "transformers", "toy"]
