"""Cover requests: questions that look like audit questions, so that a peer cannot tell when it is tested.

They are drawn like the slots of a duty, but from a random number instead of the VRF output. So they go to the same kind
of peers, with the same shapes, at the same times. Their nonces open to nothing, so a cover request is never owed,
scored or gossiped. The response is counted and forgotten. The prompts come from the operator (`corpus`), or the model
writes them from a random seed.
"""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import trio

from p2pverify.core.contract import sortition
from p2pverify.core.contract.lengths import answer_longest, prompt_longest
from p2pverify.core.contract.network import Network
from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import (
    EXPIRY_EPOCHS,
    Question,
    Request,
    RequestRefused,
    decode_response,
    encode_request,
    sign_request,
)
from p2pverify.core.roles.asker import spread_ms
from p2pverify.core.roles.challenger import Habit
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.slot_plan import find_anchor, slot_question
from p2pverify.core.settle.exchange import AnswerTaken
from p2pverify.core.state.verdicts.notes import Panel
from p2pverify.core.state.verdicts.targets import make_panel
from p2pverify.node import ports
from p2pverify.node.driver import Driver
from p2pverify.node.engines.refusals import EngineBusy, ModelUnavailable
from p2pverify.node.files.corpus import Prompt
from p2pverify.node.requests.asking import ask_streaming

ENCODED_AT_ONCE = 256  # prompts per engine job, so that owed jobs wait at most this long
ANSWERED = "answered"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CoverPlan:
    """How much cover to send: request slots per epoch, and the prompts. Without prompts, the model writes them."""

    per_epoch: float = 0.0
    prompts: tuple[Prompt, ...] = ()


NO_COVER = CoverPlan()


class Cover:
    """Sends cover for one node. `dice` draws what the VRF and the node's secrets decide in a duty."""

    def __init__(self, driver: Driver, plan: CoverPlan, *, dice: random.Random | None = None) -> None:
        self._driver = driver
        self._context: Context = driver.machine.context
        self._plan = plan
        self._dice = dice or random.SystemRandom()
        self._fitting: list[tuple[Prompt, tuple[int, ...]]] = []
        self._frame_tokens = 0  # tokens of the chat template around an empty prompt
        self._counters = Counters()

    def statistics(self) -> dict[str, int]:
        return dict(self._counters)

    async def run(self, network: ports.NetworkPort) -> None:
        """Send cover until cancelled."""
        if not self._plan.per_epoch:
            return
        if self._plan.prompts and not await self._encode():
            return
        async with trio.open_nursery() as nursery:
            while True:
                epoch = self._context.params.epoch_at(self._driver.now_ms())
                for slot, panel in self._draw(epoch):
                    nursery.start_soon(self._play, epoch, slot, panel, network)
                await self._wait_until(self._context.params.epoch_start_ms(epoch + 1))

    # ------------------------------------------------------------ drawing

    def _draw(self, epoch: int) -> list[tuple[sortition.Slot, Panel]]:
        """Slots as in a duty, but owed by nobody. Empty while this peer is not a member or may not write."""
        context = self._context
        if context.is_leaving or not context.may_write(self._driver.now_ms()):
            return []
        anchor = find_anchor(context, epoch)
        member = None if anchor is None else anchor.cut.members.get(context.key)
        if anchor is None or member is None or not member.active or member.is_convicted:
            return []
        beta = self._dice.randbytes(64)
        params = replace(context.params, slots_milli=round(1000 * self._plan.per_epoch), audits_per_epoch=0)
        slots = sortition.slots(beta, params)
        panels = [make_panel(context.network, anchor.cut, context.key, beta, slot) for slot in slots]
        return [(slot, panel) for slot, panel in zip(slots, panels, strict=True) if panel.targets]

    # ------------------------------------------------------------ one slot

    async def _play(self, epoch: int, slot: sortition.Slot, panel: Panel, network: ports.NetworkPort) -> None:
        params = self._context.params
        due_ms = slot.due_ms(epoch, params)
        await self._wait_until(due_ms)
        habits = self._driver.machine.challenger.habits[panel.is_across]
        habit = self._dice.choice(habits) if habits else None
        question = await self._question(slot, panel.contract, habit)
        if question is None:
            return
        if habit is not None:  # an owed question leaves only after our own answer to it; cover waits as long
            await self._wait_until(due_ms + habit.lag_ms)
        expiry = params.epoch_at(self._driver.now_ms()) + EXPIRY_EPOCHS
        async with trio.open_nursery() as nursery:
            for target in panel.targets:
                delay_ms = 0 if len(panel.targets) == 1 else self._dice.randrange(spread_ms(params) + 1)
                nursery.start_soon(self._ask, question, target, expiry, delay_ms, network)

    async def _question(self, slot: sortition.Slot, contract: Network, habit: Habit | None) -> Question | None:
        """The question of a slot, with a prompt of the operator or, without any, one that the model writes."""
        context = self._context
        if self._fitting:
            prompt, tokens = self._choose(slot, habit)
            question = slot_question(context, contract, slot, tokens, context.key)
            return replace(
                question,
                tokens_max=question.tokens_max if prompt.tokens_max is None else prompt.tokens_max,
                temperature_milli=(
                    question.temperature_milli if prompt.temperature_milli is None else prompt.temperature_milli
                ),
            )
        seed, size = self._dice.randbytes(16), slot.prompt_tokens(context.params)

        def write(engine: ports.Engine) -> Sequence[int]:
            return engine.write_prompt(seed, size)

        try:
            with trio.fail_after(context.params.epoch_ms / 1000):
                model = contract.classes[context.class_index].manifest
                tokens = tuple(await self._driver.use_engine(write, model=model))
        except (EngineBusy, ModelUnavailable, ValueError, trio.TooSlowError) as error:
            self._counters.count(f"not written: {type(error).__name__}")
            return None
        return slot_question(context, contract, slot, tokens, context.key)

    def _choose(self, slot: sortition.Slot, habit: Habit | None) -> tuple[Prompt, tuple[int, ...]]:
        """A random prompt of the operator. If it has no parameters, one of about the length of an owed prompt."""
        first = self._dice.choice(self._fitting)
        if first[0].tokens_max is not None:
            return first
        size = slot.prompt_tokens(self._context.params) + self._frame_tokens if habit is None else habit.prompt_tokens
        away = [(abs(len(each[1]) - size), each) for each in self._fitting if each[0].tokens_max is None]
        nearest = min(far for far, _ in away)
        return self._dice.choice([each for far, each in away if far == nearest])

    async def _ask(
        self, question: Question, target: bytes, expiry: int, delay_ms: int, network: ports.NetworkPort
    ) -> None:
        context = self._context
        await self._wait_until(self._driver.now_ms() + delay_ms)
        nonce = self._dice.randbytes(32)
        request = Request(context.network_id, context.key, target, question.id, nonce, expiry)
        data = encode_request(request, question, sign_request(context.seed, request))
        self._counters.count("asked")
        outcome = "no answer: timeout"
        with trio.move_on_after(context.params.deadline_ms / 1000):
            outcome = await _outcome(network, request, question, data)
        self._counters.count(outcome)
        if outcome == ANSWERED and context.network.tariff is not None:
            self._driver.order(AnswerTaken(target))

    # ------------------------------------------------------------ helpers

    async def _encode(self) -> bool:
        """Turn the operator's prompts into tokens and keep the prompts that fit. False if none fits."""
        prompts = self._plan.prompts
        try:
            for first in range(0, len(prompts), ENCODED_AT_ONCE):
                encode = partial(self._fit, prompts[first : first + ENCODED_AT_ONCE])
                await self._driver.use_engine(encode)
        except (EngineBusy, ValueError) as error:
            log.warning("no cover: the prompts cannot be encoded: %s", error)
            return False
        left_out = len(prompts) - len(self._fitting)
        if left_out:
            log.warning("%d prompts for cover are longer than this network's, and left out", left_out)
        return bool(self._fitting)

    def _fit(self, prompts: Sequence[Prompt], engine: ports.Engine) -> None:
        """Keep the prompts that fit the contract and the engine. Runs in the engine's thread."""
        params, context_tokens = self._context.params, engine.info.context_tokens
        self._frame_tokens = len(engine.encode_chat(""))
        for prompt in prompts:
            tokens = engine.encode_chat(prompt.text)
            room = prompt_longest(params) + self._frame_tokens
            if prompt.tokens_max is not None:
                room = context_tokens - prompt.tokens_max
            if len(tokens) <= min(room, context_tokens - answer_longest(params)):
                self._fitting.append((prompt, tokens))

    async def _wait_until(self, at_ms: int) -> None:
        """Wait until a time of the node's clock, in Unix milliseconds."""
        await trio.sleep(max(0, at_ms - self._driver.now_ms()) / 1000)


async def _outcome(network: ports.NetworkPort, request: Request, question: Question, data: bytes) -> str:
    """The outcome of a request, in words; the answer itself is not used."""
    try:
        reply = await ask_streaming(network, request.responder, data, tokens_max=question.tokens_max)
        decode_response(reply.data, request)
    except ports.AskError as failed:
        return f"no answer: {failed.reason}"
    except RequestRefused as refused:
        return f"refused: {refused.code}"
    except DecodeError:
        return "malformed answer"
    return ANSWERED
