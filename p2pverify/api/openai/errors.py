"""Errors in OpenAI's shape."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response


@dataclass
class OpenAIError(Exception):
    """A refusal: status, one word for programs (`code`), a sentence, and the parameter that is at fault.

    OpenAI's clients ask again by themselves after a fault of a server, unless the refusal is `final`.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_s: int | None = None
    final: bool = False

    @property
    def body(self) -> dict[str, object]:
        """The JSON value."""
        return error_value(self.status, self.code, self.message, self.param)

    @property
    def headers(self) -> dict[str, str]:
        found = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        return {**found, "x-should-retry": "false"} if self.final else found

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """The answer for a client."""
        return Response(
            json.dumps(self.body),
            status_code=self.status,
            headers={**self.headers, **(headers or {})},
            media_type="application/json",
        )


_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def error_value(status: int, code: str, message: str, param: str | None = None) -> dict[str, object]:
    """An error as a JSON value."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refused_parameter(param: str, message: str, code: str = "invalid_value") -> OpenAIError:
    """The refusal of a request for one of its parameters."""
    return OpenAIError(400, code, f"{param}: {message}", param)
