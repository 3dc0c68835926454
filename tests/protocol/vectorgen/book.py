"""Makes cases from a book of test records."""

from vectorgen.case import Case

from p2pverify.core.encoding.canon import encode
from p2pverify.core.records.envelope import Record
from p2pverify.core.replica.verify import VerificationFailed, verify
from p2pverify.core.state.lines.rows import line_rows
from p2pverify.core.state.view import dispute_rows, encoded_accounts, score_rows, view_head
from tests.support import book


class Book(book.Book):
    """A book that can be told as a case."""

    def case(
        self,
        comment: str,
        cut_id: bytes,
        reason: str | None = None,
        *,
        records: list[Record] | None = None,
        like: tuple[str, list[Record]] | None = None,
        network_id: bytes | None = None,
    ) -> Case:
        """The case of a cut among some or all records. Those of a case that it is `like` are not repeated."""
        chosen = self.order if records is None else records
        inputs: dict[str, object] = {
            "network_id": (network_id or self.network.id).hex(),
            "network": self.network.encode().hex(),
            "cut": cut_id.hex(),
        }
        own = chosen
        if like is not None:
            name, known = like
            kept = [each for each in known if each in chosen]
            own = chosen[len(kept) :]
            assert chosen[: len(kept)] == kept
            inputs["like"] = name
            inputs["without"] = [number for number, each in enumerate(known) if each not in chosen]
        inputs["records"] = [each.data.hex() for each in own]
        expect, found = self._verify(cut_id, [each.data for each in chosen], network_id or self.network.id)
        assert found == reason, f"{comment}: {found}"
        return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}

    def _verify(self, cut_id: bytes, data: list[bytes], network_id: bytes) -> tuple[object, str | None]:
        try:
            found = verify(network_id, self.network.encode(), cut_id, data)
        except VerificationFailed as failed:
            return "fail", failed.reason
        state = self.fold.state(cut_id)
        assert state is not None
        return {
            "cut": cut_id.hex(),
            "index": found.cuts,
            "records": found.records,
            "records_after": found.records_after,
            "ledger_root": found.cut.ledger_root.hex(),
            "view_root": found.cut.view_root.hex(),
            "standings": {score.peer.hex(): str(score.standing) for score in found.scores},
            "counters": dict(found.totals),
            "view": encode(view_head(self.network, state).to_value()).hex(),
            "rows": [row.hex() for row in score_rows(self.network, state)],
            "disputes": [row.hex() for row in dispute_rows(state)],
            **({"lines": [row.hex() for row in line_rows(self.network, state)]} if self.network.lines else {}),
            **({} if state.books is None else {"accounts": [row.hex() for row in encoded_accounts(state.books)]}),
        }, None
