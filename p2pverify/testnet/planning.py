"""Makes the plan of a run from a scenario, the command line and a seed, and from nothing else."""

import os
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path

from p2pverify.core.contract.network import PARAM_BOUNDS
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.encoding.sign import public_key
from p2pverify.engine.cheats.kinds import CheaterFate, CheatPlace
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf.weights import bundled
from p2pverify.node.engines.kinds import ENGINES, EngineKind
from p2pverify.node.files.networkfile import HONEST_PPM as HONEST_PPM_USUAL
from p2pverify.node.files.networkfile import read_params
from p2pverify.node.files.textfile import user_path
from p2pverify.testnet.cases.roles import CASE_PEERS, able_to_cheat
from p2pverify.testnet.cheats import Cheaters
from p2pverify.testnet.faults import plan_faults
from p2pverify.testnet.lasting import LastingRoles, cast
from p2pverify.testnet.plan import TO_CLIENTS, PeerPlan, Plan, PlanError
from p2pverify.testnet.scenario import HONEST_PPM, PEERS_MAX, PEERS_MIN, PathTable, Scenario

_DOMAIN = "p2pverify/testnet/1"
#: The cheat that lies only in long answers.
LONG_ONLY = "long-only"


def make_plan(
    scenario: Scenario,
    *,
    peers: int | None = None,
    cheats: Sequence[Cheaters] | None = None,
    seed: int | None = None,
    timeout_s: float | None = None,
    engine: EngineKind | None = None,
    epoch_ms: int | None = None,
    weights: Path | None = None,
    also: Sequence[Path] = (),
) -> Plan:
    """The plan of a scenario. `also` are the weights of further models, and the peers are split evenly between all.

    An argument that is given replaces the value in the file. Raises PlanError.

    With more peers than the scenario has, the timeout gets longer in proportion, unless it is given. `capacity/load`
    checks whether this machine can hold this many peers in epochs of this length.
    """
    if scenario.actor:
        raise PlanError("its hostile peers exist only in the simulated world", "play this scenario with --simulate")
    table = scenario.testnet
    count = table.peers if peers is None else peers
    if not PEERS_MIN <= count <= PEERS_MAX:
        raise PlanError(f"{count} peers are not from {PEERS_MIN} to {PEERS_MAX}", "choose another --peers")
    chosen = tuple(scenario.cheats if cheats is None else cheats)
    secrets = [some.cheat for some in chosen for _ in range(some.count)]
    number = table.seed if seed is None else seed
    given = {name: value for name, value in scenario.network.items() if name != HONEST_PPM}
    params = read_params({"genesis_ms": 0, **given})
    rules: dict[str, int] = {name: getattr(params, name) for name, _, _ in PARAM_BOUNDS if name != "genesis_ms"}
    _check_cheats(scenario, secrets, long_permille=rules["long_permille"])
    crowd = max(1.0, count / table.peers)
    if epoch_ms is not None:
        rules["epoch_ms"] = epoch_ms
    models = _models(scenario, weights, also, table.engine if engine is None else engine)
    paths = _paths(scenario, table.engine if engine is None else engine, count, len(models))
    study = None if scenario.case is None else scenario.case.study
    if study is not None and count != CASE_PEERS:
        raise PlanError(f"a case study has {CASE_PEERS} peers", "leave out --peers")
    members = _peers(number, secrets, paths, _checked(models, paths), study)
    roles = None
    if scenario.lasting is not None:
        members, roles = _with_roles(number, members)
    warnings = _check_shares(members, models)
    names = [peer.name for peer in members]
    try:
        faults = plan_faults(scenario.faults, names, epoch_ms=rules["epoch_ms"], seed=number)
    except ValueError as error:
        raise PlanError(str(error), "take more --peers, or fewer faults in the scenario") from None
    return Plan(
        number,
        table.timeout_s * crowd if timeout_s is None else timeout_s,
        table.engine if engine is None else engine,
        table.epochs_without_cheaters,
        rules,
        scenario.network.get(HONEST_PPM, HONEST_PPM_USUAL),
        members,
        _founders(table.founders, [peer for peer in members if roles is None or peer.name not in roles.late]),
        warnings,
        faults,
        table.hardware,
        _referee(table.referee),
        None if scenario.across is None else scenario.across.across(),
        scenario.faults,
        is_epoch_given=epoch_ms is not None,
        is_timeout_given=timeout_s is not None,
        clients=scenario.clients,
        upgrade=scenario.upgrade,
        case=scenario.case,
        lasting=scenario.lasting,
        roles=roles,
    )


def _check_cheats(scenario: Scenario, secrets: Sequence[CheatSpec], *, long_permille: int) -> None:
    """Raise PlanError for a cheat that does nothing wrong in this testnet."""
    kinds, places = {secret.kind for secret in secrets}, {secret.place for secret in secrets}
    if LONG_ONLY in kinds and not long_permille:
        raise PlanError(
            f"no audit of this network is long, so {LONG_ONLY} is right in all", "set long_permille and long_tokens"
        )
    if TO_CLIENTS in kinds and scenario.clients is None:
        raise PlanError(f"this testnet has no clients, so {TO_CLIENTS} is honest to all", "play the scenario clients")
    versions = {secret.kind for secret in secrets if secret.place in (CheatPlace.VERSION, CheatPlace.FILES)}
    if versions and scenario.upgrade is None and (scenario.case is None or CheatPlace.FILES in places):
        raise PlanError(
            f"this testnet has no second version, so {min(versions)} does nothing wrong", "play the scenario upgrade"
        )
    if CheatPlace.TRAINING in places and scenario.case is None:
        raise PlanError("nobody trains in this testnet, so its cheats in training do nothing", "play a case study")


def _with_roles(seed: int, members: Sequence[PeerPlan]) -> tuple[tuple[PeerPlan, ...], LastingRoles]:
    """The peers of a network that lasts, with the second identity of the one that moves. Raises PlanError."""
    roles = cast([peer.name for peer in members if peer.is_honest])
    if roles is None:
        raise PlanError("too few honest peers are left for this scenario", "take more --peers, or fewer --cheat")
    moving = next(index for index, peer in enumerate(members) if peer.name == roles.rotating)
    found = list(members)
    found[moving] = replace(members[moving], next_seed=_derive(seed, "next identity", moving))
    return tuple(found), roles


def _referee(named: str) -> str:
    """The engine id of a referee that a scenario names by its kind or its id."""
    return next((traits.referee for kind, traits in ENGINES.items() if kind == named and traits.referee), named)


def _models(
    scenario: Scenario, weights: Path | None, also: Sequence[Path], engine: EngineKind
) -> tuple[Path | None, ...]:
    """The weights of each model. A peer finds the bundled ones by itself only if there is no other model."""
    table = scenario.testnet
    first = user_path(table.weights) if weights is None and table.weights else weights
    more = tuple(also) or tuple(map(user_path, table.also))
    if more and first is None and ENGINES[engine].is_model:
        try:
            first = bundled()
        except WeightsError as error:
            raise PlanError(str(error), "name the first model with --weights") from None
    return first, *more


def _checked(models: Sequence[Path | None], paths: Sequence[PathTable]) -> tuple[Path | None, ...]:
    """The weights of each model with absolute paths. Raises PlanError for one that cannot be read, or that is twice."""
    found: list[Path | None] = []
    for path in models:
        if path is not None and (not os.access(path, os.R_OK) or not path.is_file()):
            raise PlanError(f"there are no weights to read at {path}", "name the GGUF file of a model")
        found.append(None if path is None else path.absolute())
        if found.count(found[-1]) > 1:
            raise PlanError(f"{path} is named twice", "name another model with --also")
    if len({ENGINES[one.engine].is_model for one in paths}) > 1 and any(found):
        raise PlanError("toy engines have no model files", "leave out --weights, or choose another --engine")
    return tuple(found)


def _founders(count: int | None, members: Sequence[PeerPlan]) -> tuple[PeerPlan, ...]:
    """The founders. Honest peers come first, so that cheaters are founders only if there are not enough honest ones."""
    if count is None:
        return tuple(members)
    if count > len(members):
        raise PlanError(f"{count} founders are more than {len(members)} peers", "take more --peers")
    return tuple(sorted(members, key=lambda peer: not peer.is_honest)[:count])


def _check_shares(members: Sequence[PeerPlan], models: Sequence[Path | None]) -> tuple[str, ...]:
    """Warnings about the share of the cheaters. Peers judge only peers with their own model. Raises PlanError."""
    found: list[str] = []
    for place in range(len(models)):
        group = members[place :: len(models)]
        cheaters = sum(peer.cheat is not None and peer.cheat.fate is not CheaterFate.CONTESTED for peer in group)
        found += _check_share(cheaters, len(group), " with one model" if len(models) > 1 else "")
    return tuple(dict.fromkeys(found))


def _check_share(cheaters: int, peers: int, which: str) -> tuple[str, ...]:
    if 2 * cheaters >= peers:
        raise PlanError(
            f"{cheaters} cheaters among {peers} peers{which} are half or more: their votes would decide",
            "take fewer --cheat, or more --peers",
        )
    if 3 * cheaters > peers:
        warning = f"{cheaters} cheaters among {peers} peers{which} are more than a third: cuts can stall"
        return (warning,)
    return ()


def _paths(scenario: Scenario, engine: EngineKind, count: int, models: int) -> list[PathTable]:
    """The path of each peer, in the order of the scenario. The order repeats if there are more peers.

    Peers with consecutive numbers serve different models, so as many of them have the same path.
    """
    if engine != scenario.testnet.engine or not scenario.path:
        return [PathTable(engine=engine)] * count
    given = [path.model_copy(update={"count": 1}) for path in scenario.path for _ in range(path.count)]
    return [given[index // models % len(given)] for index in range(count)]


def _peers(
    seed: int,
    secrets: Sequence[CheatSpec],
    paths: Sequence[PathTable],
    models: Sequence[Path | None],
    study: str | None = None,
) -> tuple[PeerPlan, ...]:
    """All peers. They serve the models in turn, and so do the cheaters among them.

    In a case study those that cheat in training are among its contributors, and others are not.
    """
    count = len(models)
    drawn = sorted(range(len(paths)), key=lambda index: _derive(seed, "cheat", index))
    if study is None:
        drawn_of = [[index for index in drawn if index % count == place] for place in range(count)]
        order = [index for row in zip_longest(*drawn_of) for index in row if index is not None]
        cheat_of = dict(zip(order, secrets, strict=False))
    else:
        cheat_of = _cheats_of_case(drawn, secrets, study)
    found = []
    for index, path in enumerate(paths):
        identity = _derive(seed, "identity", index)
        key = public_key(identity)
        named = (f"peer{index + 1}", identity, key, peer_id(key))
        found.append(PeerPlan(*named, cheat_of.get(index), path, models[index % count]))
    return tuple(found)


def _cheats_of_case(drawn: Sequence[int], secrets: Sequence[CheatSpec], study: str) -> dict[int, CheatSpec]:
    found: dict[int, CheatSpec] = {}
    for secret in secrets:
        able = able_to_cheat(study, in_training=secret.place is CheatPlace.TRAINING)
        free = [index for index in drawn if index not in found and index in able]
        if not free:
            raise PlanError(f"no peer of this case study is left that could be {secret.kind}", "take fewer --cheat")
        found[free[0]] = secret
    return found


def _derive(seed: int, purpose: str, index: int) -> bytes:
    return sha256(f"{_DOMAIN}/{purpose}/{seed}/{index}".encode()).digest()
