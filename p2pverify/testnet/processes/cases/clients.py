"""Clients in a case study with a tariff: the sponsor's node asks a peer for scores, and pays with cheques.

The answers are those of the served model, asked with real rows by `p2pverify ask --row`. What they cost is counted
here, and held against the ledger at the end.
"""

import csv
import json
from collections import Counter

import trio

from p2pverify.core.contract.tariff import Tariff
from p2pverify.core.settle.books import Claim
from p2pverify.testnet.cases.facts import CheckFacts, EventFacts
from p2pverify.testnet.cases.roles import SPONSOR
from p2pverify.testnet.cases.tables import money
from p2pverify.testnet.plan import PeerPlan
from p2pverify.testnet.processes.cases.deeds import Deeds
from p2pverify.testnet.processes.cases.reading import ReadLedger

#: Questions to each peer that is asked.
QUESTIONS = 4
_TRIES = 60
_AGAIN_S = 0.5


class CaseClients:
    """Asks two peers: the one that is to be convicted for its answers, and one that trains honestly."""

    def __init__(self, deeds: Deeds, tariff: Tariff) -> None:
        self._deeds = deeds
        self._price, self._unit = tariff.answer, tariff.unit
        made = deeds.made
        self._client = made.plan.peers[list(made.study.roles).index(SPONSOR)]
        guilty = [peer for peer in made.plan.peers if peer.cheat is not None and peer.name not in made.rows]
        honest = next(peer for peer in made.plan.honest if peer.name in made.rows)
        self._asked = [*guilty[:1], honest]
        self._answers: Counter[bytes] = Counter()  # that were paid, by the peer that gave them

    async def ask(self) -> list[EventFacts]:
        """Ask, and have each peer put its cheque on the ledger when it has come."""
        async with trio.open_nursery() as nursery:
            for peer in self._asked:
                nursery.start_soon(self._ask, peer)
        tariff = self._deeds.made.study.tariff
        assert tariff is not None
        cost = money(tariff.answer * self._answers.total())
        names = " and ".join(peer.name for peer in self._asked)
        what = (
            f"a client of {self._client.name} asks {names} for {self._answers.total()} scores, for {cost} {tariff.unit}"
        )
        return [EventFacts(epoch=self._deeds.epoch, what=what)]

    async def _ask(self, peer: PeerPlan) -> None:
        with self._deeds.made.table(self._deeds.made.plan.peers[0]).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))[:QUESTIONS]
        for row in rows:
            row.pop(self._deeds.made.data.schema.label)
            asked = ("ask", "--row", json.dumps(row), "--peer", peer.peer_id)
            if await self._deeds.call(self._client, *asked) == 0:
                self._answers[peer.key] += 1
        for _ in range(_TRIES):
            signed = await self._deeds.signed_to(peer)
            is_whole = signed == self._price * self._answers[peer.key]
            if is_whole and await self._deeds.call(peer, "settle", "cheque", "--all") == 0:
                return
            await trio.sleep(_AGAIN_S)

    def checks(self, ledger: ReadLedger) -> list[CheckFacts]:
        """What must hold of the cheques on the ledger.

        A peer that is convicted very soon may not have put its cheque there yet. All that it put there goes back.
        """
        claims = {peer.name: self._claims(ledger, peer) for peer in self._asked}
        signed = {name: sum(each.cumulative for each in found) for name, found in claims.items()}
        convicted = [peer.name for peer in self._asked if peer.key in ledger.state.convicted]
        cost = {peer.name: self._price * self._answers[peer.key] for peer in self._asked}
        found = [
            CheckFacts(
                what=f"the cheques of {self._client.name} say what the answers cost",
                found=", ".join(f"{name} {signed[name]} of {cost[name]}" for name in cost) + " millionths",
                holds=all(signed[name] == cost[name] > 0 or name in convicted for name in cost),
            )
        ]
        for name in convicted:
            back = sum(each.settled for each in claims[name])
            held = sum(sum(each.escrow.values()) for each in claims[name])
            found.append(
                CheckFacts(
                    what=f"the cheque money of {name}, which is convicted, went back to the client",
                    found=f"{back} of {signed[name]} millionths, {held} still held",
                    holds=back == signed[name] <= cost[name] and not held,
                )
            )
        return found

    def _claims(self, ledger: ReadLedger, peer: PeerPlan) -> list[Claim]:
        books = ledger.state.books
        claims = {} if books is None else books.claims.get(peer.key, {})
        return [claim for (debtor, _), claim in claims.items() if debtor == self._client.key]
