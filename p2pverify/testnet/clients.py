"""Clients of a testnet: they ask honest peers over their OpenAI API, and each prompt has the text that cheats can know.

A cheat of the kind `lies-to-clients` has been told this text, so it is honest to all auditors.
"""

import http.client
import json
from typing import Protocol
from urllib.parse import urlsplit

import trio

from p2pverify.node.files.home import Home
from p2pverify.node.files.textfile import FileError
from p2pverify.node.identity.private import HomeError
from p2pverify.testnet.plan import PeerPlan, Plan

ANSWER_S = 30.0
ASKING_MAX = 4


class Served(Protocol):
    """What clients need of a testnet. A `Testnet` has it."""

    plan: Plan

    def home(self, name: str) -> Home: ...


class ClientLoad:
    """The clients of one run. `answered` and `failed` count their requests."""

    def __init__(self, testnet: Served) -> None:
        self._testnet = testnet
        self._limiter = trio.CapacityLimiter(ASKING_MAX)
        self.answered = 0
        self.failed = 0

    async def run(self) -> None:
        """Ask until cancelled: as often in each epoch as the scenario says, evenly.

        Each node with clients has to ask each other peer in turn. Otherwise a peer with a dissent would be asked no
        more.
        """
        plan = self._testnet.plan
        if plan.clients is None:
            return
        pairs = [(one.name, peer.peer_id) for peer in plan.peers for one in plan.askers if _can_ask(one, peer)]
        number = 0
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(plan.epoch_ms / 1000 / plan.clients.requests)
                if pairs and self._limiter.available_tokens:
                    body = {"prompt": f"{plan.clients.text} {number}", "max_tokens": plan.clients.answer_tokens}
                    nursery.start_soon(self._ask, *pairs[number % len(pairs)], body)
                number += 1

    async def _ask(self, name: str, peer: str, body: dict[str, object]) -> None:
        is_answered = await trio.to_thread.run_sync(_ask, self._testnet.home(name), peer, body, limiter=self._limiter)
        self.answered += is_answered
        self.failed += not is_answered


def _can_ask(one: PeerPlan, peer: PeerPlan) -> bool:
    """Whether a client of one peer can name the other one: with the model that both serve."""
    return one is not peer and one.weights == peer.weights


def _ask(home: Home, peer: str, body: dict[str, object]) -> bool:
    """One request. Blocks. A peer that is down, busy or without an answer is no fault of the client."""
    try:
        parts = urlsplit(home.read_api() or "")
    except (HomeError, FileError):
        return False
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)
    try:
        model = json.loads(_exchange(connection, "GET", "/v1/models", None))["data"][0]["id"]
        asked = json.dumps({**body, "model": model, "p2pverify": {"peer": peer}})
        _exchange(connection, "POST", "/v1/completions", asked)
    except (OSError, http.client.HTTPException, ValueError, LookupError):
        return False
    finally:
        connection.close()
    return True


def _exchange(connection: http.client.HTTPConnection, method: str, path: str, body: str | None) -> bytes:
    """One exchange. Raises ValueError for another status than 200."""
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    data = response.read(1_000_000)
    if response.status != 200:
        raise ValueError(f"status {response.status}")
    return data
