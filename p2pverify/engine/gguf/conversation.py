"""Conversations in the model's own chat template: rendered by Jinja in a sandbox, then turned into token ids.

Only the template can name special tokens. Before it is rendered, a mark is put before each name of a special token in
what clients wrote. So the names without a mark in the rendered text are the template's, and become special tokens;
the rest is tokenised as text, after the marks were removed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from p2pverify.node.clients.language import Message, PromptError

#: Three code points that no text means: a noncharacter between two others. Clients' own are removed.
MARK = "\U0010fffe\U0010ffff\U0010fffe"
RENDERED_CHARS_MAX = 4 * 1024 * 1024
#: A text that no template has in it, to find out what a template writes around a user's text.
PROBE = "p2pverify"
#: Names of the template language that are random. Peers must agree on what a template writes.
_RANDOM_GLOBAL, _RANDOM_FILTER = "lipsum", "random"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a conversation needs of a tokeniser.

    `tokenise` reads a text without special tokens; any thread may call it. `special` are the names of the control
    tokens. `named` are tokens that `tokenise` finds by their names in any text. `begin` goes before a text without a
    template. `names` are variables of the template, such as bos_token.
    """

    tokenise: Callable[[str], tuple[int, ...]]
    pieces: Sequence[bytes]
    special: Mapping[str, int]
    named: Mapping[str, int]
    begin: tuple[int, ...]
    names: Mapping[str, str]


class Conversation:
    """Fulfils the node's `Language` port."""

    def __init__(self, template: str, vocabulary: Vocabulary) -> None:
        """Raises ValueError if the template is none."""
        self._vocabulary = vocabulary
        self._named = frozenset(vocabulary.named.values())
        self._piece_bytes_max = max(map(len, vocabulary.pieces), default=1) or 1
        self._special = re.compile(f"(?<!{MARK})(?:{_any_of(vocabulary.special)})")
        self._marked = re.compile(f"(?={_any_of([*vocabulary.special, *vocabulary.named])})")
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        del environment.globals[_RANDOM_GLOBAL], environment.filters[_RANDOM_FILTER]
        try:
            self._template = environment.from_string(template)
        except (TemplateError, RecursionError) as error:
            raise ValueError(f"the model's chat template cannot be read: {error}") from None

    @property
    def vocab_tokens(self) -> int:
        """See the port."""
        return len(self._vocabulary.pieces)

    def chat(self, messages: Sequence[Message], tokens_max: int) -> tuple[int, ...]:
        """See the port."""
        self._check_size(sum(len(message.content) for message in messages), tokens_max)
        text = self._render([{"role": one.role, "content": self._mark(one.content)} for one in messages])
        return _checked(self._tokens(text), tokens_max)

    def frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Token ids before and after the user's text in a conversation of one message.

        Raises ValueError if the template refuses this conversation, changes the text, or has nothing before it.
        """
        try:
            before, *after = self._render([{"role": "user", "content": PROBE}]).split(PROBE)
        except PromptError as error:
            raise ValueError(str(error)) from None
        if len(after) != 1 or not before:
            raise ValueError(
                "the model's chat template does not write a user's text once, unchanged, after a beginning"
            )
        return self._tokens(before), self._tokens(after[0])

    def plain(self, text: str, tokens_max: int) -> tuple[int, ...]:
        """See the port."""
        self._check_size(len(text), tokens_max)
        return _checked([*self._vocabulary.begin, *self._text(self._mark(text))], tokens_max)

    def piece(self, token: int) -> bytes:
        """See the port."""
        pieces = self._vocabulary.pieces
        return pieces[token] if 0 <= token < len(pieces) else b""

    def _check_size(self, chars: int, tokens_max: int) -> None:
        """Refuse a text that cannot fit, before anything is done with it."""
        if chars > tokens_max * self._piece_bytes_max:
            raise _too_long(f"more than {tokens_max}", tokens_max)

    def _mark(self, text: str) -> str:
        """Put a mark before each place where a special token's name begins."""
        return self._marked.sub(MARK, text.replace(MARK, ""))

    def _render(self, messages: list[dict[str, str]]) -> str:
        said: list[str] = []
        size = 0
        try:
            for part in self._template.generate(
                messages=messages, add_generation_prompt=True, tools=None, documents=None, **self._vocabulary.names
            ):
                said.append(part)
                size += len(part)
                if size > RENDERED_CHARS_MAX:
                    raise PromptError("template_error", "the model's chat template writes too much")
        except PromptError:
            raise
        except Exception as error:  # noqa: BLE001 - the template is a program of the model's publisher
            reason = " ".join(str(error).split())[:200]
            raise PromptError("template_error", f"the model's chat template refuses these messages: {reason}") from None
        return "".join(said)

    def _tokens(self, text: str) -> tuple[int, ...]:
        """Token ids of a rendered text, in which the names without a mark are special tokens."""
        tokens: list[int] = []
        at = 0
        for found in self._special.finditer(text):
            tokens += self._text(text[at : found.start()])
            tokens.append(self._vocabulary.special[found.group()])
            at = found.end()
        return (*tokens, *self._text(text[at:]))

    def _text(self, text: str) -> tuple[int, ...]:
        """Token ids of a text in which no name of a special token counts."""
        if not text:
            return ()
        parts = text.split(MARK)
        tokens = self._vocabulary.tokenise("".join(parts))
        if len(parts) > 1 and not self._named.isdisjoint(tokens):  # a name that is found in any text, so break it
            broken = [parts[0], *(half for part in parts[1:] for half in (part[:1], part[1:]))]
            return tuple(token for part in broken if part for token in self._vocabulary.tokenise(part))
        return tokens


def _any_of(names: Sequence[str] | Mapping[str, int]) -> str:
    """A pattern that finds any of these names, the longest first; if there are none, nothing."""
    found = sorted((name for name in names if name), key=len, reverse=True)
    return "|".join(map(re.escape, found)) or "(?!)"


def _refuse(reason: object) -> Undefined:
    raise PromptError("template_error", f"the model's chat template refuses these messages: {str(reason)[:200]}")


def _checked(tokens: Sequence[int], tokens_max: int) -> tuple[int, ...]:
    if len(tokens) > tokens_max:
        raise _too_long(str(len(tokens)), tokens_max)
    if not tokens:
        raise PromptError("empty_prompt", "the prompt has no token; write something")
    return tuple(tokens)


def _too_long(found: str, tokens_max: int) -> PromptError:
    return PromptError(
        "context_length_exceeded",
        f"the prompt has {found} tokens, and at most {tokens_max} leave room for an answer; shorten it",
    )
