"""Errors that are made to be read by a user."""


class UserError(Exception):
    """`reason` says what happened, and `hint` what to do.

    `is_usage` tells a command that was called wrongly from one that failed: its exit code is another.
    """

    is_usage = False

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"{reason}: {hint}" if hint else reason)
        self.reason = reason
        self.hint = hint


class TwinError(UserError):
    """Another process runs with this identity."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            reason, "stop the other one, or give this machine its own identity: 'p2pverify --home DIR init'"
        )
