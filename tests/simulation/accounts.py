"""Plays worlds with a tariff and training rounds, and checks at every cut that the sum of all accounts is 0.

python -m tests.simulation.accounts SEEDS [SEEDS ...] [--epochs E]

SEEDS is a seed, or a slice such as 0-999. A line of JSON is printed for each. The exit code is 1 if a sum is not 0, or
an invariant of the world is broken.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from p2pverify.core.contract.history.training import KEEP, REPLAY
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.data import Erasure
from p2pverify.core.records.payloads.settle.payment import Payment
from p2pverify.core.records.payloads.settle.pledge import PledgeOffer
from p2pverify.core.settle.books import AccountRow, account_rows
from p2pverify.core.state.state import State
from p2pverify.testnet.world import World
from tests.simulation.play import seed_slice
from tests.support.money import cheque_of, with_tariff
from tests.support.networks import seeds
from tests.support.rounds import round_world
from tests.support.worlds import final

PEERS, CONTRIBUTORS, EPOCHS = 8, 6, 24
#: Hostile peers whose pay is forfeited, or who pay for nothing; each world has at most one.
LIARS = ("honest", "always-wrong", "slanderer", "silent", "equivocator", "lazy-voter")


@dataclass(slots=True)
class PlayedAccounts:
    """What a world had at its end. `sums` are the sums of all accounts that are not 0, by the index of the cut."""

    seed: int
    liar: str
    cuts: int = 0
    rounds: int = 0
    replays: int = 0
    convicted: int = 0
    moved: dict[str, int] = field(default_factory=dict)  # the sum of each column over all accounts but the pool's
    sums: dict[int, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        return not self.sums and not self.faults


class AccountsWorld:
    """One world. What its members say about money, and which rows they erase, follows from the seed."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._keys = sorted(sign.public_key(each) for each in seeds(PEERS, f"world-{seed}"))
        self._words: dict[bytes, list[tuple[Kind, bytes]]] = {key: [] for key in self._keys}
        self._cumulative = dict.fromkeys(self._keys, 0)
        self._last = 0  # the index of the newest cut that was checked
        liar = self._dice.choice(LIARS)
        self.found = PlayedAccounts(seed, liar)
        kinds = {} if liar == "honest" else {self._dice.randrange(PEERS): liar}
        liars = (self._dice.randrange(PEERS),) if self._dice.random() < 0.3 else ()
        self._lying_voters = [f"honest peer {number} is convicted" for number in liars]  # only its votes lie
        self.world: World = round_world(
            PEERS,
            CONTRIBUTORS,
            seed=seed,
            voters_lie=liars,
            kinds=kinds,
            words=self._words,
            change=with_tariff,
            erasure_policy=self._dice.choice((KEEP, REPLAY)),
            rounds=4,
        )

    def play(self, epochs: int = EPOCHS) -> PlayedAccounts:
        """Run to the end."""
        for _ in range(4 * epochs):
            self.world.run_epochs(0.25)
            self._look()
            self._talk()
        state, found = final(self.world), self.found
        found.faults = [
            fault for fault in self.world.invariants.faults if not any(name in fault for name in self._lying_voters)
        ]
        found.rounds = state.totals.get("decided rounds", 0)
        found.replays = state.totals.get("replays", 0)
        found.convicted = len(state.convicted)
        own = [row for row in rows_of(state) if row.key]
        for name in ("answers", "audits", "votes", "training", "forfeited"):
            found.moved[name] = sum(getattr(row, name) for row in own)
        return found

    def _look(self) -> None:
        """Check all cuts that are new on the path of a peer."""
        fold = self.world.peers[self._dice.randrange(PEERS)].machine.fold
        for index in range(self._last + 1, fold.latest.index + 1):
            cut = fold.latest.at_index(index)
            assert cut is not None  # it is a new one
            state = fold.state(cut)
            assert state is not None  # it is on the path
            total = sum(row.total for row in rows_of(state))
            self.found.cuts += 1
            if total:
                self.found.sums[index] = total
        self._last = max(self._last, fold.latest.index)

    def _talk(self) -> None:
        """A member pledges, presents a cheque, says that it was paid, or erases rows."""
        dice, state = self._dice, final(self.world)
        key = dice.choice(self._keys)
        match dice.randrange(12):
            case 0:
                self._say(key, Kind.PLEDGE, PledgeOffer(0, dice.randrange(1, 90_000), 1, dice.randrange(1, 9)).encode())
            case 1:
                self._cumulative[key] += dice.randrange(1, 50_000)
                count = self._cumulative[key]
                self._say(key, Kind.CHEQUE, cheque_of(self.world.network.id, key, count, count).encode())
            case 2:
                debtor = dice.choice([other for other in self._keys if other != key])
                self._say(key, Kind.PAYMENT, Payment(debtor, dice.randrange(1, 20_000), sha256(b"paid")).encode())
            case 3:
                own = [(each, known) for each, known in state.datasets.items() if known.author == key]
                if own and own[0][1].waiting is None:
                    dataset, known = own[0]
                    root = sha256(dataset + known.rows.to_bytes(4, "big"))
                    self._say(key, Kind.ERASURE, Erasure(dataset, root, known.rows - 1, 1).encode())

    def _say(self, key: bytes, kind: Kind, payload: bytes) -> None:
        if not self._words[key]:
            self._words[key].append((kind, payload))


def rows_of(state: State) -> Sequence[AccountRow]:
    """All accounts of a state, with the pool's."""
    assert state.books is not None
    return account_rows(state.books)


def main() -> int:
    """Play the worlds. Returns the exit code."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("seeds", type=seed_slice, nargs="+")
    arguments.add_argument("--epochs", type=int, default=EPOCHS)
    chosen = arguments.parse_args()
    wrong = 0
    for seed in [seed for each in chosen.seeds for seed in each]:
        found = AccountsWorld(seed).play(chosen.epochs)
        print(json.dumps(asdict(found)), flush=True)
        wrong += not found.is_right
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
