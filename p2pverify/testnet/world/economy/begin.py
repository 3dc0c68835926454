"""How rounds begin in a world: who contributes, the line, and what contributors and their sponsor sign."""

from collections.abc import Iterator, Sequence

from p2pverify.core.contract.history.lines import ModelLine
from p2pverify.core.contract.network import Network
from p2pverify.core.events import WriteRecord
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.settle.pledge import PledgeOffer
from p2pverify.testnet.world.economy.plan import BOUNTY, VERSION_EPOCHS, RoundsPlan
from p2pverify.testnet.world.economy.rows import SCHEMA, rows_of
from p2pverify.testnet.world.economy.training import SimulatedTraining
from p2pverify.testnet.world.peer.versions import SimulatedPublishers
from p2pverify.testnet.world.plan import Identity, WorldPlan


def contributors(plan: WorldPlan, found: Sequence[Identity]) -> list[Identity]:
    """The peers that train: the hostile ones if the plan says so, and then honest founders."""
    rounds = _rounds(plan)
    hostile = [each for each in found if each.actor is not None] if rounds.hostile_train else []
    honest = [each for each in found if each.actor is None and each.founder]
    return [*hostile, *honest][: rounds.contributors]


def sponsor(plan: WorldPlan, found: Sequence[Identity]) -> Identity:
    """The peer that pays for rounds: an honest founder that trains nothing."""
    trains = contributors(plan, found)
    return next(each for each in found if each.founder and each.actor is None and each not in trains)


def trained_line(plan: WorldPlan, found: Sequence[Identity]) -> ModelLine:
    """The line of a world with rounds."""
    line = SimulatedPublishers(plan.seed).line(VERSION_EPOCHS)
    return _rounds(plan).trained(line, SCHEMA.id, [each.key for each in contributors(plan, found)])


def training(plan: WorldPlan, found: Sequence[Identity]) -> SimulatedTraining:
    """What carries out the orders of a world with rounds."""
    return SimulatedTraining({each.key: rows_of(each.seed) for each in contributors(plan, found)})


def orders(plan: WorldPlan, found: Sequence[Identity], network: Network) -> Iterator[tuple[int, WriteRecord]]:
    """What the operators of contributors and of the sponsor want to be signed, with the numbers of their peers."""
    rounds = plan.rounds
    if rounds is None:
        return
    rule = network.lines[0].training
    assert rule is not None
    for each in contributors(plan, found):
        lasts = rounds.rounds if each.actor is None else rounds.budget_rounds
        offered = rows_of(each.seed).dataset(rule, lasts)
        yield each.number, WriteRecord(0, Kind.DATASET, offered.encode())
    if plan.tariff:
        offer = PledgeOffer(0, BOUNTY, 1, rounds.rounds)
        yield sponsor(plan, found).number, WriteRecord(0, Kind.PLEDGE, offer.encode())


def _rounds(plan: WorldPlan) -> RoundsPlan:
    assert plan.rounds is not None
    return plan.rounds
