"""The light client: it gets passports of peers that it can reach, chooses by them, asks, and writes a receipt."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import trio

from p2pverify.core.contract.lengths import context_tokens
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.counters import Counters
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import CONTEXT_TOKENS_MAX, Question
from p2pverify.core.proofs.exchange import AMONG_MAX, PASSPORTS_MAX, PassportsWanted
from p2pverify.core.proofs.passport import Refuted
from p2pverify.core.settle.cheques import ChequeStatement, sign_cheque
from p2pverify.core.settle.credit import series_end
from p2pverify.core.settle.exchange import decode_cheque_answer, encode_cheque
from p2pverify.core.window import CheckPolicy
from p2pverify.node import ports
from p2pverify.node.clients.asking import AnsweredQuestion, Asking, NoAnswer, Take, usual_answer
from p2pverify.node.clients.choice import AnswerPeer, Choice
from p2pverify.node.clients.fullcheck import FullCheck
from p2pverify.node.clients.language import Language, Message, model_name
from p2pverify.node.clients.line import TOO_LONG, Requester
from p2pverify.node.clients.paper import answer_document, check_document, cost_document, event_document
from p2pverify.node.light.view import LightView, Trust
from p2pverify.node.reports.documents.receipt import CHECKED, EventName, ReceiptDocument, ReceiptEvent
from p2pverify.node.user_error import UserError

#: Peers that are asked for passports, besides those at the given addresses: what one hides, another one shows.
SOURCES = 3
#: How long one peer may take for its passports, and how long the others are waited for after the first.
SOURCE_S = 10.0
OTHERS_S = 1.0
TEMPERATURE_MILLI = 1000
PROMPT_TOKENS_MAX = CONTEXT_TOKENS_MAX - 1


class LightError(UserError):
    """A light client cannot ask. `reason` says why, and `hint` says what to do."""


class VisitPort(ports.AskingPort, Protocol):
    """Connections of a visitor: see `net.protocols.visitor`."""

    def known(self) -> tuple[bytes, ...]: ...

    def met(self) -> frozenset[bytes]: ...

    async def passports(self, peer: bytes, request: bytes) -> bytes:
        """One request for passports, and its answer. Raises AskError."""
        ...

    async def pay(self, peer: bytes, request: bytes) -> bytes:
        """One cheque for a creditor, and its answer. Raises AskError."""
        ...


@dataclass(frozen=True, slots=True)
class LightWish:
    """What is asked: a text, and how many peers answer it. If `peer` is given, this peer answers."""

    text: str
    policy: CheckPolicy
    peer: bytes | None = None
    temperature_milli: int = TEMPERATURE_MILLI


@dataclass(slots=True)
class _Order:
    """A question on its way, and what has happened."""

    now_ms: Callable[[], int]
    events: list[ReceiptEvent] = field(default_factory=list)

    def note(self, event: EventName, candidate: AnswerPeer, detail: str) -> None:
        self.events.append(event_document(self.now_ms(), event, 0, candidate, detail))


class LightClient:
    """Asks once. `seed` (32 B) is an identity that is used for nothing else. `dice` is a secret source."""

    def __init__(
        self,
        network: Network,
        manifest: Manifest,
        language: Language,
        visit: VisitPort,
        seed: bytes,
        trust: Trust,
        clock: Callable[[], int],
        dice: random.Random | None = None,
    ) -> None:
        self._network = network
        self._manifest = manifest
        self._language = language
        self._visit = visit
        self._clock = clock
        self._dice = dice or random.SystemRandom()
        self.counters = Counters()
        self.view = LightView(network, manifest.digest, trust)
        self.refused: list[str] = []  # why passports did not count
        self._choice = Choice(self.view, visit.met, self._dice)
        self._owed: Counter[bytes] = Counter()  # answers, by the peer that gave them
        self._requester = Requester(network, seed, public_key(seed), clock, owe=self._owe)
        self._asking = Asking(self._requester, visit, self._choice, self.counters)
        self._fullcheck = FullCheck(network, self._asking, self._choice, self.counters)

    async def look(self, peer: bytes | None = None) -> None:
        """Get passports from the peers that were met and some that they know. Raises LightError if none counts.

        With `peer` only the passport of this peer is asked for.
        """
        met, known = self._visit.met(), self._visit.known()
        more = sorted(set(known) - met)
        sources = [*sorted(met)[:SOURCES], *self._dice.sample(more, min(SOURCES - 1, len(more)))]
        among = known if peer is None else (peer,)
        if len(among) > AMONG_MAX:
            among = tuple(sorted(self._dice.sample(among, AMONG_MAX)))
        wanted = PassportsWanted(self._manifest.digest, among, PASSPORTS_MAX).encode()
        async with trio.open_nursery() as nursery:
            for source in sources:
                nursery.start_soon(self._fetch, source, wanted, nursery.cancel_scope)
        if not self.view.others():
            why = f" ({self.refused[0]})" if self.refused else ""
            raise LightError(f"no peer shows a passport that counts{why}", _HINTS[bool(self.refused)])

    async def answer(self, wish: LightWish, take: Take) -> ReceiptDocument:
        """Have a question answered; `take` gets the tokens. Returns the receipt, whose state can be "failed" without
        a majority. Raises LightError, and PromptError of the language."""
        began_ms, order = self._clock(), _Order(self._clock)
        prompt = self._language.chat([Message("user", wish.text)], PROMPT_TOKENS_MAX)
        panel = wish.policy.panel if self._dice.randrange(wish.policy.every) == 0 else 1
        question = self._question(prompt, context_tokens(self._network.params), wish)
        try:
            answered = await self._ask(question, wish, panel, take, order)
        except NoAnswer as failed:
            context = self._choice.usual_context(self._requester.epoch, CONTEXT_TOKENS_MAX)
            if TOO_LONG not in failed.reasons or not len(prompt) < context < CONTEXT_TOKENS_MAX:
                raise _no_answer(failed) from None
            question = self._question(prompt, context, wish)  # as much as they have said that they can hold
            try:
                answered = await self._ask(question, wish, panel, take, order)
            except NoAnswer as again:
                raise _no_answer(again) from None
        await self._pay()
        return self._receipt(began_ms, wish, question, answered, order)

    def _owe(self, peer: bytes) -> None:
        self._owed[peer] += 1

    async def _pay(self) -> None:
        """Pay the answers with cheques at once: a client that is no member owes no audits, so this tells nothing."""
        tariff = self._network.tariff
        if tariff is None or not tariff.answer:
            return
        with trio.move_on_after(SOURCE_S):
            async with trio.open_nursery() as nursery:
                for peer, count in sorted(self._owed.items()):
                    nursery.start_soon(self._send_cheque, peer, count * tariff.answer)

    async def _send_cheque(self, peer: bytes, amount: int) -> None:
        own, epoch = self._requester, max(0, self._requester.epoch)
        said = ChequeStatement(self._network.id, own.key, peer, series_end(epoch), amount, 1)
        try:
            answer = decode_cheque_answer(await self._visit.pay(peer, encode_cheque(sign_cheque(said, own.seed))))
        except (ports.AskError, DecodeError) as error:
            self.counters.count(f"cheques not sent: {error.reason}")
            return
        self.counters.count(f"cheques refused: {answer.refused}" if answer.refused else "cheques sent")

    async def _fetch(self, source: bytes, wanted: bytes, others: trio.CancelScope) -> None:
        """Get the passports of one source. After the first one that has some, the others have little time left."""
        try:
            with trio.fail_after(SOURCE_S):
                count = self.view.take(await self._visit.passports(source, wanted), self._clock())
        except (ports.AskError, DecodeError, trio.TooSlowError) as error:
            self.counters.count(f"passports not had: {getattr(error, 'reason', 'timeout')}")
        except Refuted as refuted:
            self.counters.count("passports refuted")
            self.refused.append(refuted.reason)
        else:
            self.counters.count("passports", count)
            if count:
                others.deadline = min(others.deadline, trio.current_time() + OTHERS_S)

    async def _ask(
        self, question: Question, wish: LightWish, panel: int, take: Take, order: _Order
    ) -> AnsweredQuestion:
        if wish.peer is not None:
            named = self.view.named(wish.peer)
            if named is None:
                raise LightError("no passport of that peer was shown", "'p2pverify scores' on a node lists the peers")
            return await self._asking.answer(question, self._salt, take, order.note, named)
        if panel > 1:
            return await self._fullcheck.answer(question, panel, self._salt, take, order.note)
        return await self._asking.answer(question, self._salt, take, order.note)

    def _salt(self, _peer: bytes) -> bytes:
        """A salt that nobody needs later, because a client without weight reports nothing."""
        return self._dice.randbytes(32)

    def _question(self, prompt: tuple[int, ...], context: int, wish: LightWish) -> Question:
        """The question to peers that hold `context` tokens, for the version that they or the named peer serve."""
        tokens_max = usual_answer(context, len(prompt))
        seed = self._dice.randbytes(16)
        named = None if wish.peer is None else self.view.named(wish.peer)
        model = self.view.model if named is None else named.model
        return Question(model, prompt, tokens_max, wish.temperature_milli, seed, self._requester.key)

    def _receipt(
        self, began_ms: int, wish: LightWish, question: Question, answered: AnsweredQuestion, order: _Order
    ) -> ReceiptDocument:
        answers = []
        for one, relation in answered.related:
            known = self.view.find(one.candidate.peer)
            passport = None if known is None else known.passport.encode()
            returned = one is answered.returned
            shared = (0, question, one, self._network, self._language, passport, CHECKED)
            answers.append(answer_document(*shared, returned=returned, relation=relation))
            order.note("checked", one.candidate, " ".join(CHECKED))
        return ReceiptDocument(
            schema="p2pverify/client-receipt/1",
            id=f"rcpt_{self._dice.randbytes(16).hex()}",
            state="failed" if answered.returned is None else "answered",
            network=self._network.id.hex(),
            model=model_name(self._manifest.model),
            endpoint="chat.completions",
            created_ms=began_ms,
            finished_ms=self._clock(),
            panel=wish.policy.panel,
            every=wish.policy.every,
            checks=(check_document(0, answered),) if answered.panel > 1 else (),
            answers=tuple(answers),
            cost=cost_document(self._network, answers),
            events=tuple(order.events),
        )


_HINTS = {
    False: "the network may have no certified cut yet; ask again later, or at another --bootstrap",
    True: "ask at another --bootstrap, or name a cut that you trust with --cut",
}


def _no_answer(failed: NoAnswer) -> LightError:
    why = ", ".join(failed.reasons) or "no peer of good standing can be reached"
    return LightError(f"nobody could answer ({why})", "ask again later, or name a peer with --peer")


def tokens_text(language: Language, tokens: Sequence[int]) -> bytes:
    """The bytes of the text of tokens."""
    return b"".join(map(language.piece, tokens))
