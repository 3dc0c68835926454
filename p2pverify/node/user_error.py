"""Errors that are made to be read by a user."""


class UserError(Exception):
    """`reason` says what happened, and `hint` what to do.

    `is_usage` tells a command that was called wrongly from one that failed: its exit code is another. So does
    `is_not_ready`, for what needs the operator before it can go on.
    """

    is_usage = False
    is_not_ready = False

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"{reason}: {hint}" if hint else reason)
        self.reason = reason
        self.hint = hint


def explain(error: BaseException) -> UserError | None:
    """The first exception, also in nested groups, that is meant for people. None for a bug or an interrupt."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := explain(inner))), None)
    if not isinstance(error, Exception) or not type(error).__module__.startswith("p2pverify."):
        return None
    return error if isinstance(error, UserError) else UserError(str(error))


class TwinError(UserError):
    """Another process runs with this identity."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            reason, "stop the other one, or give this machine its own identity: 'p2pverify --home DIR init'"
        )
