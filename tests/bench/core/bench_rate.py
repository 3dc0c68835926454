"""A constant total of audits, measured in simulated networks: records of an epoch, and epochs until a conviction.

    python -m tests.bench.core.bench_rate [--honest 40] [--audits 4 2] [--seeds 1 2 3] [--liars 2]

Liars answer everything falsely. They lose disputes about their answers, and about their own audits. Of each liar, the
epoch of the audit that convicts it is compared with 1/A: so many audits as it lost, times members / (A * chances). The
rest of the time until the conviction is the end of the period, and the vote. If audits are many, the disputes of one
peer wait for each other, so the forecast holds for small A. Records are audits and duties of honest
members, when all liars are convicted and all periods have their full length.
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from statistics import mean

from p2pverify.core.contract.network import PERIOD_MAX, Params
from p2pverify.core.contract.sortition import longest_period
from p2pverify.core.records.envelope import Kind
from p2pverify.testnet.world import ActorPlan, World, WorldPlan
from p2pverify.testnet.world.plan import HONEST

FOUNDERS = 12
SETTLE_EPOCHS = 12  # from the last audit to the conviction, beside the period
RULES = {
    "epoch_ms": 10_000,
    "slots_milli": 2_000,
    "panel_size": 3,
    "prompt_tokens": 8,
    "answer_tokens": 8,
    "disputes_per_cut": 16,
    "growth_epochs": 1_000_000,
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a run showed: epochs by liar, and the mean number of audits and of duties in an epoch."""

    asked: tuple[int, ...]  # until the audit that convicted it
    needed: tuple[int, ...]  # disputes that it lost until then
    convicted: tuple[int, ...]
    spared: int  # liars without a conviction
    audits: float
    duties: float
    missed: int
    broken: int


def chances(params: Params) -> float:
    """Peers that a slot asks on average. As in `model_scale`, the own audits of a liar do not count."""
    return (1 + params.panel_size) / 2


def expected(members: int, audits: int, params: Params) -> float:
    """Epochs in which a liar loses one dispute on average."""
    return members / (min(audits, members * params.slots_milli / 1000) * chances(params))


def play(honest: int, liars: int, audits: int, seed: int) -> Found:
    members = honest + liars
    rules = {**RULES, "audits_per_epoch": audits}
    actors = tuple(ActorPlan("always-wrong") for _ in range(liars))
    params = WorldPlan(rules=rules).params
    period = longest_period(members, params)
    epochs = int(10 * expected(members, audits, params)) + period + SETTLE_EPOCHS + PERIOD_MAX
    plan = WorldPlan(
        peers=members, members=members, founders=FOUNDERS, seed=seed, rules=rules, actors=actors, epochs=epochs
    )
    world = World(plan)
    world.play()
    newest = world.invariants.newest
    assert newest is not None
    rows = [newest.members[each.key] for each in world.identities if each.kind != HONEST]
    caught = [row for row in rows if row.is_convicted]
    asked = [max(loss.dispute.epoch + loss.dispute.slot // params.slots_max for loss in row.losses) for row in caught]
    from_epoch = max([PERIOD_MAX + period, *(row.convicted_epoch + period for row in caught)])
    ledger, kinds = world.honest[0].machine.context.ledger, Counter[int]()
    bad = {each.key for each in world.identities if each.kind != HONEST}
    for author, _, _ in ledger.heads():
        if author not in bad:
            kinds.update(record.kind for record in ledger.chain(author) if from_epoch <= record.epoch < epochs)
    return Found(
        tuple(asked),
        tuple(len(row.losses) for row in caught),
        tuple(row.convicted_epoch for row in caught),
        len(rows) - len(caught),
        kinds[Kind.AUDIT] / max(1, epochs - from_epoch),
        kinds[Kind.DUTY] / max(1, epochs - from_epoch),
        sum(newest.members[each.key].missed_duties for each in world.identities if each.kind == HONEST),
        len(world.invariants.faults),
    )


def row(honest: int, liars: int, audits: int, found: list[Found]) -> str:
    params = WorldPlan(rules={**RULES, "audits_per_epoch": audits}).params
    members, period = honest + liars, longest_period(honest, params)
    asked = mean(epoch + 0.5 for each in found for epoch in each.asked)
    needed = mean(number for each in found for number in each.needed)
    forecast = 1 + needed * expected(members, audits, params)  # nothing is drawn for epoch 0
    convicted = mean(epoch + 0.5 for each in found for epoch in each.convicted)
    seen, wanted = mean(e.audits + e.duties for e in found), min(audits, 2 * honest) + honest / period
    caught, spared = sum(len(each.asked) for each in found), sum(each.spared for each in found)
    return (
        f"| {honest} | {audits} | {period} | {mean(e.audits for e in found):.1f} | {mean(e.duties for e in found):.1f} "
        f"| {seen:.1f} | {wanted:.1f} | {caught} of {caught + spared} | {needed:.1f} | {asked:.1f} | {forecast:.1f} "
        f"| {100 * (asked / forecast - 1):+.0f} % | {convicted:.1f} | {sum(e.missed for e in found)} "
        f"| {sum(e.broken for e in found)} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--honest", type=int, nargs="+", default=[40])
    parser.add_argument("--audits", type=int, nargs="+", default=[4, 2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--liars", type=int, default=2)
    options = parser.parse_args()
    print(
        "| honest | A | period | audits an epoch | duties | both | forecast | convicted | lost | last audit in epoch "
        "| forecast | off by | conviction in epoch | missed duties | broken |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for honest in options.honest:
        for audits in options.audits:
            found = [play(honest, options.liars, audits, seed) for seed in options.seeds]
            print(row(honest, options.liars, audits, found), flush=True)


if __name__ == "__main__":
    main()
