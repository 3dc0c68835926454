"""Bodies of requests: bytes become a checked model, and a fault is named with its parameter."""

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from p2pverify.api.openai.errors import OpenAIError, refused_parameter

_M = TypeVar("_M", bound=BaseModel)
_INPUT_CHARS_MAX = 40
#: Parameters that this node takes only with their default values.
UNSUPPORTED = frozenset(
    {
        *("top_p", "presence_penalty", "frequency_penalty", "logit_bias", "top_logprobs", "best_of", "echo", "suffix"),
        *("tools", "tool_choice", "functions", "function_call", "response_format", "modalities", "audio"),
        *("prediction", "reasoning_effort", "verbosity", "store", "service_tier", "web_search_options"),
    }
)


def parse_body(kind: type[_M], body: bytes) -> _M:
    """Read a request's body. Raises OpenAIError."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False)) from None


def _refusal(faults: Sequence[ErrorDetails]) -> OpenAIError:
    """The refusal for one fault. Of the forms that a value may have, the one was meant in which the fault lies deepest,
    and in which the value has the right type."""
    fault = max(faults, key=lambda each: (len(_places(each["loc"])), not each["type"].endswith("_type")))
    if fault["type"] == "json_invalid":
        return OpenAIError(400, "invalid_json", f"the body is not JSON in UTF-8: {fault['msg']}")
    param = _named(_places(fault["loc"]))
    message = fault["msg"].removeprefix("Value error, ")
    if not param:  # from a check of the whole request, which names the parameter itself
        named, _, rest = message.partition(": ")
        return refused_parameter(named, rest) if rest else OpenAIError(400, "invalid_value", message)
    if fault["type"] == "missing":
        return refused_parameter(param, "this parameter is needed", "missing_required_parameter")
    if fault["type"] == "extra_forbidden":
        return refused_parameter(param, "there is no such parameter here", "unknown_parameter")
    if param.partition(".")[0].partition("[")[0] in UNSUPPORTED:
        return refused_parameter(param, "this node can do only the default; leave it out", "unsupported_parameter")
    given = repr(fault["input"])
    shown = given if len(given) <= _INPUT_CHARS_MAX else given[:_INPUT_CHARS_MAX] + "..."
    shown = shown.encode("ascii", "backslashreplace").decode()
    return refused_parameter(param, f"{message[:1].lower()}{message[1:]}, not {shown}", "unsupported_value")


def _places(where: Sequence[str | int]) -> list[str | int]:
    """The way to a value, without the names of the forms that pydantic tried."""
    return [step for step in where if isinstance(step, int) or (step.isidentifier() and step not in _FORMS)]


#: Names of types in the locations that pydantic gives for a choice between types.
_FORMS = frozenset({"str", "int", "float", "bool", "TextPart"})


def _named(places: Sequence[str | int]) -> str:
    """A way as OpenAI writes it: messages[0].content."""
    text = ""
    for step in places:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
