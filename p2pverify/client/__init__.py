"""The Python API: ask a node, read its receipts and scores, and verify receipts and passports without a node.

`p2pverify/client/README.md` shows how. Importing it is quick, because what only checks need is imported by `verify`.
"""

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
