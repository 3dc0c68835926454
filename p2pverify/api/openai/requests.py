"""The requests' models. What this node cannot do is refused by name, unless it is the default value."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from p2pverify.core.plan import PANEL_MAX, PLAN_REQUESTS_MAX
from p2pverify.node.clients.book import ReportWish

STOPS_MAX = 4
STOP_CHARS_MAX = 256
CHOICES_MAX = 8
MESSAGES_MAX = 1024
TEXT_CHARS_MAX = 1 << 20
PEER_CHARS_MAX = 100
SEED_MIN, SEED_MAX = -(2**63), 2**63 - 1
_ONE_CHOICE = 1

Text = Annotated[str, Field(max_length=TEXT_CHARS_MAX)]
Stop = Annotated[str, Field(min_length=1, max_length=STOP_CHARS_MAX)]
Token = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class StreamOptions(_Strict):
    """What a stream holds besides its chunks."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class CheckWish(_Strict):
    """Which answers are compared: one request in `every` is answered by a `panel` of peers. Or the one peer to ask.

    `report` says what others may learn of a wrong answer.
    """

    panel: Annotated[int, Field(ge=1, le=PANEL_MAX)] | None = None
    every: Annotated[int, Field(ge=1, le=PLAN_REQUESTS_MAX)] | None = None
    peer: Annotated[str, Field(max_length=PEER_CHARS_MAX)] | None = None
    report: ReportWish | None = None


class TextPart(_Strict):
    """A part of a message."""

    type: Literal["text"]
    text: Text


class ChatMessage(_Strict):
    """One message of a conversation. Only text: no images, no tools."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(max_length=MESSAGES_MAX)]
    name: None = None
    refusal: None = None
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class _Completion(_Strict):
    """The fields of both kinds of request."""

    model: Annotated[str, Field(max_length=256)]
    max_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=SEED_MIN, le=SEED_MAX)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=STOPS_MAX)] | None = None
    n: Annotated[int, Field(ge=1, le=CHOICES_MAX)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Annotated[str, Field(max_length=512)] | None = None  # not used
    p2pverify: CheckWish | None = None  # OpenAI's clients send it with extra_body
    # What cannot be had. Only the default value is taken.
    top_p: Annotated[float, Field(ge=1, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop sequences."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def choices(self) -> int:
        return self.n or _ONE_CHOICE

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> "_Completion":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options: only with stream = true")
        return self


class TextFormat(_Strict):
    """The form of an answer: text."""

    type: Literal["text"]


class ChatRequest(_Completion):
    """A request to /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MESSAGES_MAX)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    logprobs: bool | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None  # not used
    safety_identifier: Annotated[str, Field(max_length=512)] | None = None  # not used
    prompt_cache_key: Annotated[str, Field(max_length=512)] | None = None  # not used
    # What cannot be had. Only the default value is taken.
    top_logprobs: Annotated[int, Field(ge=0, le=0)] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[Any], Field(max_length=0)] | None = None
    function_call: Literal["none", "auto"] | None = None
    response_format: TextFormat | None = None
    modalities: list[Literal["text"]] | None = None
    audio: None = None
    prediction: None = None
    reasoning_effort: None = None
    verbosity: None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    web_search_options: None = None

    @property
    def wants_logprobs(self) -> bool:
        return bool(self.logprobs)

    @property
    def answer_tokens(self) -> tuple[str, int | None]:
        """The parameter that limits the answer, and its value."""
        if self.max_completion_tokens is not None:
            return "max_completion_tokens", self.max_completion_tokens
        return "max_tokens", self.max_tokens

    @model_validator(mode="after")
    def _one_limit(self) -> "ChatRequest":
        both = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(both) > 1:
            raise ValueError("max_completion_tokens: it differs from max_tokens; give one of them")
        return self


class CompletionRequest(_Completion):
    """A request to /v1/completions. The prompt is text or token ids; several prompts get an answer each."""

    prompt: (
        Text
        | Annotated[list[Token], Field(min_length=1)]
        | Annotated[list[Text], Field(min_length=1, max_length=CHOICES_MAX)]
        | Annotated[list[Annotated[list[Token], Field(min_length=1)]], Field(min_length=1, max_length=CHOICES_MAX)]
    )
    # What cannot be had. Only the default value is taken.
    logprobs: Annotated[int, Field(ge=0, le=0)] | None = None  # 0: of the answer's tokens
    best_of: Annotated[int, Field(ge=1, le=1)] | None = None
    echo: Literal[False] | None = None
    suffix: Literal[""] | None = None

    @property
    def wants_logprobs(self) -> bool:
        return self.logprobs is not None

    @property
    def prompts(self) -> tuple[str | tuple[int, ...], ...]:
        """The prompts, each as text or as token ids."""
        given: list[Any] = [self.prompt] if isinstance(self.prompt, str) else list(self.prompt)
        if isinstance(given[0], int):
            return (tuple(given),)
        return tuple(one if isinstance(one, str) else tuple(one) for one in given)
