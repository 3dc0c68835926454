"""Plays the attacks of the book in the simulated world: each kind alone among honest peers."""

from dataclasses import dataclass, replace

from p2pverify.core.contract.odds import TestSteps, test_steps
from p2pverify.core.inference.speed import Fit
from p2pverify.core.state.lines.versions import is_behind, notes_of
from p2pverify.core.state.state import State
from p2pverify.core.state.view import scores
from p2pverify.testnet.casebook.downloads import play_download
from p2pverify.testnet.casebook.entries import FALSE_CHUNKS, Simulated
from p2pverify.testnet.casebook.gains import Gains, gains_of, has_gain_of_its_fate, money_faults
from p2pverify.testnet.world import ActorPlan, World, WorldPlan
from p2pverify.testnet.world.liars.expectations import MILLION, FateRule, shows
from p2pverify.testnet.world.peer.versions import manifest_of
from p2pverify.testnet.world.plan import HONEST

#: The rules of these worlds. Epochs are long, because virtual time costs nothing.
RULES = {
    "epoch_ms": 10_000,
    "slots_milli": 1000,
    "panel_size": 2,
    "prompt_tokens": 8,
    "answer_tokens": 8,
    "temperature_milli": 800,
    "greedy_percent": 0,
    "anchor_lag": 1,
    "anchor_window": 4,
    "duty_epochs": 8,
    "dispute_epochs": 16,
    "disputes_per_cut": 4,
    "spot_check_permille": 20,
    "fork_epochs": 64,
    "cheat_ppm": 100_000,
    "conviction_odds": 1_000_000,
    "weight_changes_per_cut": 1,
    "growth_epochs": 40,
    "tenure_epochs": 0,
    "long_permille": 250,
    "long_tokens": 32,
}
HONEST_PPM = 1000
#: Rules of a crowd: fewer slots, because it has enough audits, and fewer disputes, because many peers vote in each.
CROWD_RULES = {**RULES, "slots_milli": 500, "disputes_per_cut": 2}
#: A crowd is played for this many epochs after its conviction, because later cuts must contain the earlier ones.
CROWD_EPOCHS = 3


@dataclass(frozen=True, slots=True)
class Played:
    """The outcome for the hostile peers of one world.

    `convicted` counts those that a final view convicts, `provisional` those that the provisional view of an honest peer
    convicts. `shown` have the marks of their fate; `missed` should have them but do not. `audits` are the audits from
    the onset until each conviction. `honest_convicted` leaves out convictions that the honest peer itself refuses.
    """

    entry: Simulated
    hostile: int
    convicted: int
    provisional: int
    shown: int
    missed: int
    audits: tuple[int, ...]
    honest_convicted: int
    cuts: int
    broken: tuple[str, ...]
    gains: Gains | None = None


def plan_of(entry: Simulated, seed: int) -> WorldPlan:
    """The plan of one world. All honest peers are founders. Hostile peers are founders only if the entry says so."""
    actor = ActorPlan(entry.kind, entry.hostile, round(entry.rate * MILLION), entry.onset_epoch, entry.founders)
    return WorldPlan(
        name=f"book-{entry.kind}",
        seed=seed,
        peers=entry.peers,
        epochs=entry.epochs,
        founders=entry.peers if entry.founders else entry.peers - entry.hostile,
        members=entry.peers,
        actors=(actor,),
        rules=CROWD_RULES if entry.is_crowd else RULES,
        honest_ppm=HONEST_PPM,
        quantum_ms=200,
        heartbeat_ms=5_000,
        degree=3,
        batch_ms=1,
        sync_ms=6_000,
        classes=entry.classes,
        hardware="one machine",
        beyond_third=entry.is_blocking,
        upgrades=entry.upgrades,
        rounds=entry.rounds,
        tariff=entry.pay is not None,
    )


def steps_for(honest_ppm: int) -> TestSteps:
    """The steps of the test in these worlds, for peers whose honest answers are dissents at the rate `honest_ppm`."""
    return test_steps(honest_ppm, RULES["cheat_ppm"], RULES["conviction_odds"])


def play_world(entry: Simulated, seed: int) -> Played:
    """Play one world to its end. A crowd's world ends some epochs after all its hostile peers are convicted.

    False chunks are played as a download, because this world has no files.
    """
    if entry.kind == FALSE_CHUNKS:
        dropped, broken = play_download(entry.hostile, entry.peers, seed)
        missed = entry.hostile - dropped
        return Played(entry, entry.hostile, 0, 0, dropped, missed, (), 0, 0, tuple(broken))
    world = World(plan_of(entry, seed))
    keys = [peer.key for peer in world.peers if peer.kind != HONEST]
    before = dict.fromkeys(keys, 0)
    epochs_over = 0

    def is_over(epoch: int) -> bool:
        nonlocal epochs_over
        observer = world.honest[0].machine
        if epoch == entry.onset_epoch:
            before.update((key, member.audits) for key in keys if (member := observer.fold.latest.members.get(key)))
        state = observer.provisional(world.simulation.clock_ms) if entry.is_blocking else observer.fold.latest
        epochs_over += _convicted(state, keys) == len(keys)
        return entry.is_crowd and epochs_over > CROWD_EPOCHS

    world.play(is_over)
    observer = world.honest[0].machine
    final = observer.fold.latest
    provisional = observer.provisional(world.simulation.clock_ms)
    rule = entry.rule
    honest = [peer.key for peer in world.honest if peer.key not in observer.objector.refused]
    members = [final.members.get(key) for key in keys]
    gains = gains_of(entry, world, final, keys, _control(entry, seed))
    shown, missed = _shown(world, rule, final, keys), len(world.invariants.missed())
    if gains is not None and not has_gain_of_its_fate(entry, final, keys, gains):
        shown, missed = 0, len(keys)
    return Played(
        entry,
        len(keys),
        _convicted(final, keys),
        _convicted(provisional, keys),
        shown,
        missed,
        tuple(
            sorted(m.convicted_after - before[k] for k, m in zip(keys, members, strict=True) if m and m.is_convicted)
        ),
        _convicted(final, honest) + _convicted(provisional, honest),
        final.index,
        (*world.invariants.faults, *money_faults(final)),
        gains,
    )


def _control(entry: Simulated, seed: int) -> World | None:
    """The same world with hostile peers that do not cheat, played to its end, for cheats that are about all money."""
    if entry.pay != "all":
        return None
    world = World(plan_of(replace(entry, rate=0.0), seed))
    world.play()
    return world


def _shown(world: World, rule: FateRule, final: State, keys: list[bytes]) -> int:
    """The number of hostile peers with the marks of their fate."""
    if world.plan.upgrades and not _as_released(world, final):
        return 0
    if rule.fate == "behind":
        return sum(key in final.members and is_behind(world.network, final, key) for key in keys)
    if rule.fate == "inconsistent":
        return _slow(world, final, keys)
    if rule.fate == "stops cuts":
        return len(keys) if all(peer.machine.objector.refused for peer in world.honest) else 0
    return sum(shows(rule, final.members.get(key)) for key in keys)


def _as_released(world: World, final: State) -> bool:
    """Whether the versions of a view are those that the publishers of the plan released, without recalled ones."""
    wanted: list[int] = []
    newest = 0
    for upgrade in world.plan.upgrades:
        if upgrade.what == "release":
            newest += 1
            wanted.append(newest)
        else:
            wanted.pop()
    live = [version for version in notes_of(world.network, final, 0).versions if not version.is_recalled]
    return {one.number: one.manifest for one in live} == {number: manifest_of(number).digest for number in wanted}


def _slow(world: World, state: State, keys: list[bytes]) -> int:
    """The number of hostile peers that are found slower than their hardware claim; 0 if an honest peer is found too."""
    found = {s.peer for s in scores(world.network, state) if s.speed is not None and s.speed.fit is Fit.INCONSISTENT}
    return len(found & set(keys)) if found <= set(keys) else 0


def _convicted(state: State, keys: list[bytes]) -> int:
    return sum(key in state.members and state.members[key].is_convicted for key in keys)
