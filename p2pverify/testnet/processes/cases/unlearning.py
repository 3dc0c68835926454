"""What an erasure leaves behind in a run: tainted versions, repeated rounds, and a model that owes nothing to the row.

The runner knows all tables and all secrets, so it computes the run that never had the row, and compares.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.roles.context import secret_of
from p2pverify.core.roles.rounds.contributor import NOISE_PURPOSE
from p2pverify.core.state.lines.versions import notes_of
from p2pverify.engine.cheats.training import lying_trainer
from p2pverify.engine.trainer import TabularTrainer
from p2pverify.node.training.counterfactual import CounterfactualOwner, run_rounds
from p2pverify.node.training.versions import RoundBase
from p2pverify.testnet.cases.facts import CheckFacts, EventFacts
from p2pverify.testnet.cases.study import rho_of
from p2pverify.testnet.processes.cases.making import MadeCase
from p2pverify.testnet.processes.cases.reading import ReadLedger


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A row that was erased within a run: the name of its owner, and its number in the owner's table."""

    owner: str
    row: int


def replay_facts(
    made: MadeCase,
    ledger: ReadLedger,
    withdrawn: Withdrawal,
    seeds: Mapping[bytes, bytes],
    weights_of: Callable[[int], bytes],
) -> tuple[list[EventFacts], list[CheckFacts]]:
    """The repeated rounds as events, and the checks of a withdrawal.

    `seeds` are the identity seeds of peers by key, from which the secrets of their noise follow. `weights_of` gives the
    SHA-256 of the weights of a version by its number.
    """
    repeated = [over for over in ledger.closed if over.repeats]
    versions = notes_of(ledger.fold.network, ledger.state, 0).versions
    tainted = [str(version.number) for version in versions if version.has_erased]
    past = ledger.state.rounds[0].past
    first = RoundBase(made.engine.model.encode(), made.manifest)
    owners = _owners(made, ledger, withdrawn, seeds)
    without = sha256(run_rounds(0, made.rule, past, first, owners, TabularTrainer()))
    last = weights_of(past[-1].outcome) if past else b""
    events = [
        EventFacts(epoch=over.epoch, what=f"round {over.number} repeats round {over.repeats} without the row")
        for over in repeated
    ]
    again = ", ".join(str(over.repeats) for over in repeated)
    checks = [
        CheckFacts(
            what="the versions that were trained on the erased row are tainted, and their rounds are repeated",
            found=f"versions {', '.join(tainted) or 'none'}; rounds {again or 'none'}",
            holds=bool(tainted) and bool(repeated),
        ),
        CheckFacts(
            what="the last version has the bytes of a run that never had the row",
            found=f"{last.hex()[:16]}, without the row {without.hex()[:16]}",
            holds=last == without,
        ),
    ]
    return events, checks


def _owners(
    made: MadeCase, ledger: ReadLedger, withdrawn: Withdrawal, seeds: Mapping[bytes, bytes]
) -> dict[bytes, CounterfactualOwner]:
    """The contributors with the rows that they would have had, and with the lies of those that cheat."""
    datasets = {dataset.author: dataset for dataset in ledger.state.datasets.values()}
    network = ledger.fold.network.id
    places = [RoundPlace(0, over.number).to_value() for over in ledger.standing]
    found = {}
    for peer in made.plan.peers:
        if peer.name not in made.rows:
            continue
        gone = withdrawn.row if peer.name == withdrawn.owner else -1
        rows = [None if at == gone else (bytes(32), row) for at, row in enumerate(made.rows[peer.name])]
        trainer = TabularTrainer() if peer.cheat is None else lying_trainer(peer.cheat, TabularTrainer())
        secrets = [secret_of(seeds[peer.key], network, NOISE_PURPOSE, *place) for place in places]
        noise = secrets.__getitem__ if rho_of(made.rule) else None
        found[peer.key] = CounterfactualOwner(datasets[peer.key], rows, trainer, noise)
    return found
