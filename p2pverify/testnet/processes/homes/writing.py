"""The files with which a testnet begins: the network file, and for each peer a home with an identity and settings."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import time_ns
from typing import Any

from p2pverify.core.contract.network import Network
from p2pverify.node.files.home import Home, atomic_file
from p2pverify.node.files.networkfile import add_model, dump_network, manifest_of, new_network
from p2pverify.node.identity.papers import IdentityPapers
from p2pverify.node.lines.papers import write_key
from p2pverify.testnet.capacity.load import MeasuredMachine, start_ms
from p2pverify.testnet.classes import Classes
from p2pverify.testnet.plan import PeerPlan, Plan, PlanError
from p2pverify.testnet.processes.cases.making import MadeCase, with_case
from p2pverify.testnet.processes.upgrade.story import DOMAIN, LINE
from p2pverify.testnet.publishers import TestPublishers

#: A peer gets a 32nd of it, and the file should be everywhere before the notice is over.
_UPLOAD_MB_PER_S = 1000


def write_files(
    plan: Plan, machine: MeasuredMachine, directory: Path, classes: Sequence[Classes], case: MadeCase | None
) -> Network:
    """Write the network file, and a home with an identity for each peer. Epoch 0 begins when all should be up."""
    is_tested = case is None and any(each.known is not None for each in classes)
    starts_ms = start_ms(plan, machine, is_tested=is_tested)
    first, *more = classes
    rules: dict[str, Any] = {**plan.rules, "genesis_ms": time_ns() // 1_000_000 + starts_ms}
    try:
        network, manifests = new_network(
            f"testnet-{plan.seed}",
            [peer.key for peer in plan.founders],
            first.info,
            honest_ppm=plan.honest_ppm,
            known=first.known,
            others=first.others,
            referee=plan.referee,
            across=plan.across,
            **rules,
        )
        for each in more:
            paths = ((each.info.engine, each.info.numeric_path), *each.others)
            manifest = each.known or manifest_of(each.info)
            network, manifests = add_model(
                network, manifests, manifest, paths=paths, honest_ppm=plan.honest_ppm, across=plan.across
            )
    except ValueError as error:
        raise PlanError(f"these rules make no network: {error}", "correct the scenario's [network]") from None
    if plan.upgrade is not None:
        epochs = (plan.upgrade.notice_epochs, plan.upgrade.overlap_epochs, plan.upgrade.recall_epochs)
        line = TestPublishers(DOMAIN, plan.seed).line(LINE, network.classes[0].manifest, epochs)
        network = replace(network, lines=(line,))
    if case is not None:
        network = with_case(network, case)
    with atomic_file(directory / "network.toml", mode=0o600) as file:
        file.write(dump_network(network, manifests).encode())
    for peer in plan.peers:
        home = Home(directory / peer.name)
        home.path.mkdir(mode=0o700)
        with atomic_file(home.identity_path, mode=0o600) as file:
            file.write(f"{peer.seed.hex()}\n".encode())
        if peer.next_seed is not None:
            IdentityPapers(home).keep_next(peer.next_seed)
            write_key(next_key_path(directory, peer), f"{peer.next_seed.hex()}\n".encode())
        with atomic_file(home.config_path, mode=0o600) as file:
            file.write(config_of(plan, peer).encode())
    return network


def next_key_path(directory: Path, peer: PeerPlan) -> Path:
    """Where the operator of a peer keeps its next key, outside of its home."""
    return directory / f"{peer.name}.next"


def config_of(plan: Plan, peer: PeerPlan) -> str:
    """The settings of a peer. Many peers share the machine, so each engine answers one question at a time.

    Nothing is audited without clients, because nobody has a receipt.
    """
    lines = ["lanes = 1"]
    if peer in plan.starters:
        lines.append('history = "all"')  # the verdict is about the whole history
    if plan.hardware:
        lines.append(f'hardware = "{plan.hardware}"')
    if not plan.listens(peer):
        lines.append("listen = []")
    if plan.clients is not None:
        lines += [f"audit_rate = {plan.clients.audit_rate}", f'report = "{plan.clients.report}"']
    if plan.case is not None:
        lines += ["[upgrade]", 'policy = "notice"']
    if plan.upgrade is not None:
        policy = "manual" if peer in plan.late else "notice"
        lines += [
            "[blobs]",
            "serve = true",
            f"upload_mb_per_s = {_UPLOAD_MB_PER_S}",
            "[upgrade]",
            f'policy = "{policy}"',
            "fetch = true",
        ]
    return "".join(f"{line}\n" for line in lines)
