"""The Python API: ask a node, read its receipts and scores, and verify receipts and passports without a node.

`p2pverify/client/README.md` shows how. Importing it is quick, because a name is imported when it is first used. So
checks of files load no HTTP client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from p2pverify.client.asynchronous import AsyncAnswerStream, AsyncClient
    from p2pverify.client.calls import Messages
    from p2pverify.client.errors import (
        BusyError,
        ClientError,
        NoAnswerError,
        NoMajorityError,
        NoNodeError,
        NotAllowedError,
        NotFoundError,
        ParameterError,
        UnreadableProofError,
        UnverifiedError,
    )
    from p2pverify.client.plain import AnswerStream, Client
    from p2pverify.client.replies import Answerer, Reply
    from p2pverify.client.verifying import Proof, verify
    from p2pverify.node.reports.documents.passport import PassportDocument
    from p2pverify.node.reports.documents.receipt import ReceiptDocument
    from p2pverify.node.reports.documents.scores import ScoreDocument, ScoresDocument

__all__ = [
    "AnswerStream",
    "Answerer",
    "AsyncAnswerStream",
    "AsyncClient",
    "BusyError",
    "Client",
    "ClientError",
    "Messages",
    "NoAnswerError",
    "NoMajorityError",
    "NoNodeError",
    "NotAllowedError",
    "NotFoundError",
    "ParameterError",
    "PassportDocument",
    "Proof",
    "ReceiptDocument",
    "Reply",
    "ScoreDocument",
    "ScoresDocument",
    "UnreadableProofError",
    "UnverifiedError",
    "verify",
]

_PLACES = {
    "AnswerStream": "p2pverify.client.plain",
    "Answerer": "p2pverify.client.replies",
    "AsyncAnswerStream": "p2pverify.client.asynchronous",
    "AsyncClient": "p2pverify.client.asynchronous",
    "BusyError": "p2pverify.client.errors",
    "Client": "p2pverify.client.plain",
    "ClientError": "p2pverify.client.errors",
    "Messages": "p2pverify.client.calls",
    "NoAnswerError": "p2pverify.client.errors",
    "NoMajorityError": "p2pverify.client.errors",
    "NoNodeError": "p2pverify.client.errors",
    "NotAllowedError": "p2pverify.client.errors",
    "NotFoundError": "p2pverify.client.errors",
    "ParameterError": "p2pverify.client.errors",
    "PassportDocument": "p2pverify.node.reports.documents.passport",
    "Proof": "p2pverify.client.verifying",
    "ReceiptDocument": "p2pverify.node.reports.documents.receipt",
    "Reply": "p2pverify.client.replies",
    "ScoreDocument": "p2pverify.node.reports.documents.scores",
    "ScoresDocument": "p2pverify.node.reports.documents.scores",
    "UnreadableProofError": "p2pverify.client.errors",
    "UnverifiedError": "p2pverify.client.errors",
    "verify": "p2pverify.client.verifying",
}


def __getattr__(name: str) -> Any:
    """A name of this package, from the module that has it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return found
