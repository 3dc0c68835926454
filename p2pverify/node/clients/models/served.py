"""A model of the network, for the clients of one node: its language, whom to ask, and how long an answer can be.

This node runs one of the models, perhaps in several versions. Of the others it needs the tokens and the chat template
only: peers that serve the model answer, and this node's engine and referee say nothing about their answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import trio

from p2pverify.core.contract.lengths import context_tokens
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.inference.question import CONTEXT_TOKENS_MAX
from p2pverify.node import ports
from p2pverify.node.clients.asking import Asking, usual_answer
from p2pverify.node.clients.choice import Choice
from p2pverify.node.clients.fullcheck import FullCheck
from p2pverify.node.clients.language import Language, model_name
from p2pverify.node.clients.order import NO_TOKENS, DoorError

if TYPE_CHECKING:
    from p2pverify.core.contract.network import Params

OpenLanguage = Callable[[Manifest], Language]
"""Opens the language of a model. Blocks. Raises an error with a sentence if this machine has none."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Askers:
    """Those who ask the peers of one model: the choice of peers, single questions, and full checks."""

    choice: Choice
    asking: Asking
    fullcheck: FullCheck


class ServedModel:
    """A model of the network. `digest` (32 B) is that of its manifest. `info` is None until this node can run it.

    `limiter` bounds the texts that are tokenised at once, of all models.
    """

    def __init__(
        self,
        manifest: Manifest,
        digest: bytes,
        info: ports.ModelInfo | None,
        askers: Askers,
        params: "Params",
        open_language: OpenLanguage,
        limiter: trio.CapacityLimiter,
    ) -> None:
        self.manifest = manifest
        self.digest = digest
        self.askers = askers
        self.info = info
        self._params = params
        self._open_language = open_language
        self._language: Language | None = None
        self._opening = trio.Lock()
        self._limiter = limiter

    @property
    def name(self) -> str:
        """The model's usual name for clients."""
        return model_name(self.manifest.model)

    @property
    def is_here(self) -> bool:
        """Whether this node runs the model."""
        return self.info is not None

    @property
    def prompt_tokens_max(self) -> int:
        """The longest prompt that leaves room for one token."""
        return self._context_max - 1

    @property
    def has_logprobs(self) -> bool:
        """Whether this node's engine can compute log-probabilities of its answers."""
        return self.info is not None and ports.SCORE in self.info.can

    def room(self, prompt_tokens: int) -> int:
        """The most tokens that an answer to a prompt can have.

        What the peers of another model can hold is known only from the contract and from their refusals.
        """
        if self.info is None:
            return self.usual_room(prompt_tokens)
        return self._context_max - prompt_tokens

    def usual_room(self, prompt_tokens: int) -> int:
        """The length of an answer for a client that names none: one that peers with the usual context can hold too.

        If it would be short, it is as long as this node's engine allows.
        """
        unknown = context_tokens(self._params)
        context = self.askers.choice.usual_context(self.askers.asking.epoch, unknown)
        if self.info is None:
            return usual_answer(context, prompt_tokens)
        most, left = self.room(prompt_tokens), context - prompt_tokens
        return most if left < unknown // 4 else min(most, left)

    def knows(self, peer: bytes) -> bool:
        """Whether a client can name this peer as the one to ask."""
        return self.askers.choice.named(peer) is not None

    async def speak(self, do: Callable[[Language], _T]) -> _T:
        """Call `do` with the model's language, in a thread. Raises what `do` raises, and DoorError."""
        async with self._opening:
            if self._language is None:
                try:
                    self._language = await trio.to_thread.run_sync(self._open_language, self.manifest)
                except Exception as error:
                    code = "no_model" if self.is_here else NO_TOKENS
                    raise DoorError(code, f"this node has no tokens of {self.name}: {error}") from error
        return await trio.to_thread.run_sync(do, self._language, limiter=self._limiter)

    @property
    def _context_max(self) -> int:
        return CONTEXT_TOKENS_MAX if self.info is None else min(CONTEXT_TOKENS_MAX, self.info.context_tokens)
