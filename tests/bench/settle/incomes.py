"""What honest peers, idle ones and cheats earn by duties in simulated networks with a tariff.

The world has nine founders: seven are honest, one writes no audits, and one answers wrongly at a rate. Prices are those
of protocol/settle.md. A lie saves the cheat the price of an answer. `vest_epochs` is the formula of that page.
"""

from dataclasses import dataclass
from math import ceil

from p2pverify.core.contract.network import Network
from p2pverify.core.events import Effects
from p2pverify.core.settle.books import Account, account_rows
from p2pverify.testnet.world.peer.actor import ActorArgs, HonestActor
from tests.support.money import TARIFF, with_tariff
from tests.support.worlds import casting, final, make_world

PEERS = 9
IDLE, CHEAT = 7, 8
#: Audits that meet a member in an epoch: slots of each member times the mean size of a panel, and what each of them
#: pays it as responder and as challenger.
SLOTS, PANEL_MEAN = 2, 1.5
AUDITS = SLOTS * PANEL_MEAN
INCOME = AUDITS * TARIFF.answer + SLOTS * TARIFF.audit
#: Lies that pass before a conviction, times the windows of checks: view.md. Epochs that a decision takes.
LIES = 4.2
DECISION_EPOCHS = 6


def vest_epochs(rate: float) -> int:
    """The least vest-epochs with which a cheat at a rate loses, by the formula of protocol/settle.md.

    The escrow of the epochs until its conviction, those of 4.2 lies and of a decision, has not vested by then.
    """
    return ceil(LIES / (rate * AUDITS)) + DECISION_EPOCHS


class IdleChallenger(HonestActor):
    """Answers and votes as others do, and asks nobody."""

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self.machine.challenger.tick = _nothing


def _nothing(now_ms: int) -> Effects[None]:
    yield from ()


@dataclass(frozen=True)
class Income:
    """What a peer has vested in the end (millionths), and what it was paid that vested, before dues.

    Pay that has not vested is left out, because its dues come when it vests.
    """

    net: int
    paid: int

    @property
    def share(self) -> float:
        """What it has, as a share of what it was paid."""
        return self.net / self.paid if self.paid else 0.0


@dataclass(frozen=True)
class Run:
    """One network: the incomes of its peers, and when the cheat was convicted (None: not)."""

    honest: tuple[Income, ...]
    idle: Income
    cheat: Income
    convicted_epoch: int | None
    total: int  # of all accounts


def play(seed: int, rate: float, epochs: int, vest: int) -> Run:
    """Simulate a network for some epochs."""

    def contract(usual: Network) -> Network:
        return with_tariff(usual, vest_epochs=vest, limit=100_000_000)

    world = make_world(
        PEERS,
        seed=seed,
        contract=contract,
        kinds={IDLE: "idle", CHEAT: "wrong"},
        make=casting({"idle": IdleChallenger}),
        rate_ppm=round(rate * 1_000_000),
        slots_milli=SLOTS * 1000,
        panel_size=2,
        anchor_lag=1,
    )
    world.run_epochs(epochs)
    state = final(world)
    assert state.books is not None
    keys = [peer.key for peer in world.peers]
    incomes = [_income(state.books.accounts.get(key, Account())) for key in keys]
    member = state.members[keys[CHEAT]]
    return Run(
        tuple(incomes[:IDLE]),
        incomes[IDLE],
        incomes[CHEAT],
        member.convicted_epoch if member.is_convicted else None,
        sum(row.total for row in account_rows(state.books)),
    )


def _income(account: Account) -> Income:
    paid = account.answers + account.audits + account.votes
    return Income(account.vested, paid - account.forfeited - sum(account.escrow.values()))
