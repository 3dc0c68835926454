"""How a client's calls fail. Each class is one kind of failure, with the node's own message."""

from p2pverify.node.user_error import UserError


class ClientError(UserError):
    """A call failed. `code` is the node's word for programs; `receipt` is the id of the answer's receipt, if any."""

    def __init__(self, reason: str, hint: str = "", *, code: str = "", receipt: str | None = None) -> None:
        super().__init__(reason, hint)
        self.code = code
        self.receipt = receipt


class NoNodeError(ClientError):
    """No node answers there, the connection broke, or what answers is not the node that was meant."""


class BusyError(ClientError):
    """The node is busy, or this key asks too often. Ask again after `retry_after_s` seconds."""

    def __init__(self, reason: str, *, retry_after_s: int, code: str = "", receipt: str | None = None) -> None:
        super().__init__(reason, f"ask again in {retry_after_s} s", code=code, receipt=receipt)
        self.retry_after_s = retry_after_s


class ParameterError(ClientError):
    """The node refuses a request. `param` names the parameter that is at fault, None if it is none in particular."""

    def __init__(self, reason: str, *, param: str | None, code: str = "") -> None:
        super().__init__(reason, code=code)
        self.param = param


class NotAllowedError(ClientError):
    """The key is missing, wrong or revoked, or the node does not serve clients from there."""


class NotFoundError(ClientError):
    """The node has no such receipt, passport or path."""


class NoAnswerError(ClientError):
    """The node took the question, but no peer answered it, or its receipt could not be kept."""


class NoMajorityError(NoAnswerError):
    """In a full check no answer has more than half of the panel. The receipt has all answers."""


class UnverifiedError(ClientError):
    """A receipt or a passport does not hold."""


class UnreadableProofError(ClientError):
    """A file or text is no receipt, no passport or no network file, so nothing can be said about it."""
