"""Verifying receipts and passports in a program, without a node. `checking` has the checks."""

from pathlib import Path
from typing import TYPE_CHECKING, overload

from p2pverify.client.errors import UnreadableProofError, UnverifiedError
from p2pverify.node.files.textfile import FileError, read_bytes
from p2pverify.node.reports.documents.jsonform import DocumentError, parse
from p2pverify.node.reports.documents.passport import PassportDocument
from p2pverify.node.reports.documents.receipt import ReceiptDocument

if TYPE_CHECKING:
    from p2pverify.client.checking import CheckedReceipt
    from p2pverify.core.contract.network import Network
    from p2pverify.core.proofs.passport import PassportFacts

_AFTER = "get it again from the node or the peer that gave it"

Proof = ReceiptDocument | PassportDocument | bytes | str | Path
"""A receipt or a passport: a document, the bytes of a file, or the path of a file."""


@overload
def verify(
    proof: ReceiptDocument, *, network: "Network | Path | str", cut: bytes | str | None = None
) -> "CheckedReceipt": ...
@overload
def verify(
    proof: PassportDocument, *, network: "Network | Path | str", cut: bytes | str | None = None
) -> "PassportFacts": ...
@overload
def verify(
    proof: Proof, *, network: "Network | Path | str", cut: bytes | str | None = None
) -> "CheckedReceipt | PassportFacts": ...
def verify(
    proof: Proof, *, network: "Network | Path | str", cut: bytes | str | None = None
) -> "CheckedReceipt | PassportFacts":
    """What a receipt or a passport proves in a network. Needs no node.

    `network` is the path of the network file, or the network. `cut` is the id of a cut that you trust, as bytes or in
    hex: then passports must be of this cut. Raises UnverifiedError if it does not hold, and UnreadableProofError if it,
    or the network file, is no such file.
    """
    from p2pverify.core.contract.network import Network  # noqa: PLC0415 - importing the client should be quick

    known = network if isinstance(network, Network) else _network(Path(network))
    trusted = bytes.fromhex(cut) if isinstance(cut, str) else cut
    if isinstance(proof, str | Path):
        from p2pverify.node.clients.checking import RECEIPT_FILE_BYTES_MAX  # noqa: PLC0415

        try:
            proof = read_bytes(Path(proof), size_max=RECEIPT_FILE_BYTES_MAX, missing=_AFTER)
        except FileError as error:
            raise UnreadableProofError(error.reason, error.hint) from None
    return _checked(known, proof, trusted)


def _checked(
    network: "Network", proof: ReceiptDocument | PassportDocument | bytes, cut: bytes | None
) -> "CheckedReceipt | PassportFacts":
    from p2pverify.client.checking import check_passport_bytes, check_receipt  # noqa: PLC0415 - see verify
    from p2pverify.core.encoding.peerid import peer_id  # noqa: PLC0415
    from p2pverify.core.errors import DecodeError  # noqa: PLC0415
    from p2pverify.core.proofs.passport import PASSPORT_HEAD, Refuted  # noqa: PLC0415

    try:
        if isinstance(proof, ReceiptDocument):
            return check_receipt(network, proof, cut)
        if isinstance(proof, PassportDocument):
            facts = check_passport_bytes(network, bytes.fromhex(proof.passport), cut)
            if (proof.peer_id, proof.cut) != (peer_id(facts.row.peer), facts.cut_id.hex()):
                raise Refuted("the passport is not the one that its document names")
            return facts
        if proof.startswith(PASSPORT_HEAD):
            return check_passport_bytes(network, proof, cut)
        return check_receipt(network, parse(ReceiptDocument, proof), cut)
    except Refuted as refuted:
        raise UnverifiedError(f"refuted: {refuted.reason}", _AFTER) from None
    except DecodeError as error:
        raise UnreadableProofError(f"no valid passport: {error.reason}", _AFTER) from None
    except (DocumentError, ValueError) as error:
        raise UnreadableProofError(f"neither a receipt nor a passport: {error}", _AFTER) from None


def _network(path: Path) -> "Network":
    from p2pverify.node.files.networkfile import load_network  # noqa: PLC0415 - see verify

    try:
        return load_network(path)[0]
    except FileError as error:
        raise UnreadableProofError(error.reason, error.hint) from None
