"""The port to a model's language: text of clients becomes token ids, and token ids become text again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class PromptError(Exception):
    """A prompt that the model cannot take. `code` is one word for programs, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. Special tokens' names in `content` stay text."""

    role: str  # "system", "user" or "assistant"
    content: str


def model_name(model: str) -> str:
    """The name of a manifest's model for clients: without spaces and slashes."""
    return "-".join(model.replace("/", " ").split())


class Language(Protocol):
    """Tokens and chat template of a model. Methods block, and any thread may call them."""

    @property
    def vocab_tokens(self) -> int:
        """How many tokens there are; ids are less."""
        ...

    def chat(self, messages: Sequence[Message], tokens_max: int) -> tuple[int, ...]:
        """Token ids of a conversation, up to where the assistant answers.

        Raises PromptError if there are more than `tokens_max`, or if the model's template refuses the messages.
        """
        ...

    def frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Token ids before and after the user's text in a conversation of one message."""
        ...

    def plain(self, text: str, tokens_max: int) -> tuple[int, ...]:
        """Token ids of a text without a template. Raises PromptError if there are more than `tokens_max`."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes of a token; empty for a special token and for one outside the vocabulary."""
        ...
