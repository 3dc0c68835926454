"""Networks with a tariff, cheques of clients, and books with movements of every kind."""

from dataclasses import replace

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.tariff import Tariff
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.payloads.settle.cheque import Cheque
from p2pverify.core.replica.explain import CutMovement, ExplainedBooks
from p2pverify.core.settle.books import Account, Books, Movement, MoveReason, Pledge, account_rows
from p2pverify.core.settle.cheques import ChequeStatement
from p2pverify.core.settle.cut import CutFacts, Earned, settle_cut
from p2pverify.core.settle.posting import Posting
from p2pverify.core.settle.rounds import Contribution, DecidedRound
from p2pverify.node.settle.documents import NettingDocument, TransferDocument

TARIFF = Tariff(
    unit="credit",
    answer=10_000,
    audit=4_000,
    vote=2_000,
    dissent=30_000,
    vest_epochs=8,
    limit=1_000_000,
    rows_curve=((0, 0), (20, 500), (100, 1000)),
    late_curve=((0, 1000), (2, 1000), (4, 250)),
    base_permille=300,
)
CLIENT = sha256(b"client")


def with_tariff(network: Network, **changes: object) -> Network:
    """The network with a tariff."""
    return replace(network, tariff=replace(TARIFF, **changes))  # type: ignore[arg-type]


def cheque_of(
    network: bytes, creditor: bytes, cumulative: int, count: int = 1, *, until: int = 1000, client: bytes = CLIENT
) -> Cheque:
    """A cheque that a client (seed, 32 B) signed."""
    debtor = sign.public_key(client)
    said = ChequeStatement(network, debtor, creditor, until, cumulative, count)
    return Cheque(debtor, until, cumulative, count, said.sign(client))


def moved_books() -> ExplainedBooks:
    """Books of four peers and a client that began with something, and three cuts with movements for every reason."""
    one, two, three, four = (sign.public_key(sha256(bytes([number]))) for number in range(4))
    debtor, series = sign.public_key(CLIENT), (sign.public_key(CLIENT), 1000)
    books = Books({one: Account(vested=700_001), two: Account(vested=-700_001)})
    books.pledges[0, one] = Pledge(100_000, 1, 2)
    opening, told, cut = account_rows(books), list[CutMovement](), (b"", 0)
    facts = CutFacts(0, frozenset({one, two, three, four}), frozenset(), frozenset({three}))

    def note(movement: Movement) -> None:
        told.append(CutMovement(*cut, movement))

    posting = Posting(books, TARIFF, note)
    cut = (sha256(b"first"), 10)
    duties = [Earned(what, peer, (one, 9, slot)) for slot, peer in enumerate((two, three)) for what in PAID]
    rounds = [DecidedRound(0, 1, 5, 1, 10, [Contribution(three, 9, 50, 0)], sha256(b"round"))]
    settle_cut(posting, replace(facts, epoch=10, earned=duties, rounds=rounds))
    posting.credit(two, series, 1_400_000, 140, 10, sha256(b"cheque"))
    cut = (sha256(b"second"), 18)
    dissent = [Earned(MoveReason.DISSENT, three, (one, 17, 0))]
    settle_cut(posting, replace(facts, epoch=18, earned=[*duties[:4], *dissent]))
    posting.pay(two, debtor, 400_000, sha256(b"payment"))
    cut = (sha256(b"third"), 19)
    settle_cut(posting, replace(facts, epoch=19, convicted=frozenset({two})))
    posting.write_off(three)
    posting.drop_claim(two, series)
    posting.hand_over(four, sign.public_key(sha256(bytes([4]))))
    return ExplainedBooks(opening, tuple(told), account_rows(books), *cut)


PAID = (MoveReason.ANSWER, MoveReason.AUDIT, MoveReason.VOTE)


def transfers(*rows: tuple[str | None, str | None, int], unit: str = "EUR") -> NettingDocument:
    """A netting of transfers (debtor, creditor, millionths)."""
    return NettingDocument(
        schema="p2pverify/netting/1",
        network="ab" * 32,
        unit=unit,
        cut="cd" * 32,
        epoch=7,
        transfers=tuple(
            TransferDocument(debtor=debtor, creditor=creditor, amount=amount, owed_by="duties")
            for debtor, creditor, amount in rows
        ),
    )
