"""What a case study needs before its peers start: the first model, the line with its training rule, and the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from p2pverify.core.contract.history.lines import ModelLine
from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.canon import sha256
from p2pverify.engine.tabular.engine import TabularEngine
from p2pverify.engine.tabular.manifest import tabular_manifest
from p2pverify.engine.tabular.model import initial
from p2pverify.resources import resource
from p2pverify.testnet.cases.datasets import CaseData, CaseDataMissing, load_case, split_rows, table_of
from p2pverify.testnet.cases.registry import STUDIES
from p2pverify.testnet.cases.study import CaseStudy
from p2pverify.testnet.classes import Classes
from p2pverify.testnet.plan import PeerPlan, Plan, PlanError
from p2pverify.testnet.publishers import TestPublishers

DOMAIN = "p2pverify/testnet/case/1"
MODEL, TABLES = "model", "tables"


@dataclass(frozen=True, slots=True)
class MadeCase:
    """A case: its study, its data, the rows of each contributor by name, and those that no peer has."""

    study: CaseStudy
    data: CaseData
    rows: Mapping[str, Sequence[bytes]]
    test: Sequence[bytes]
    rule: TrainingRule
    manifest: Manifest
    engine: TabularEngine
    tables: Path
    publishers: TestPublishers
    plan: Plan

    @property
    def classes(self) -> Classes:
        """The one class of its network."""
        return Classes(self.engine.info, (), self.manifest)

    @property
    def line(self) -> ModelLine:
        """The line that is trained."""
        case = self.plan.case
        assert case is not None
        epochs = (case.notice_epochs, case.overlap_epochs, case.recall_epochs)
        line = self.publishers.line(self.study.name, self.manifest.digest, epochs)
        return replace(line, training=self.rule)

    @property
    def schema_file(self) -> Path:
        """The file of the schema, as owners of rows name it."""
        return resource("testnet") / "schemas" / f"{self.study.data}.toml"

    def table(self, peer: PeerPlan) -> Path:
        """The file with the rows of a contributor."""
        return self.tables / f"{peer.name}.csv"


def make_case(plan: Plan, directory: Path) -> MadeCase:
    """Write the first model and the tables of all contributors into a directory. Blocks. Raises PlanError.

    `plan` of the result is the given one, whose peers serve this model.
    """
    assert plan.case is not None
    study = STUDIES[plan.case.study]
    try:
        data = load_case(study.data)
    except CaseDataMissing as error:
        raise PlanError("the rows of this case study are not installed", str(error)) from None
    contributors = plan.peers[: study.contributors]
    seed = sha256(f"{DOMAIN}/{study.name}/{plan.seed}".encode())
    test, parts = split_rows(len(data.rows), [1] * len(contributors), seed)
    rows = {peer.name: [data.rows[at] for at in part] for peer, part in zip(contributors, parts, strict=True)}
    model, path, tables = initial(data.schema), directory / MODEL, directory / TABLES
    path.write_bytes(model.encode())
    tables.mkdir(mode=0o700)
    for name, own in rows.items():
        (tables / f"{name}.csv").write_text(table_of(data.schema, own), encoding="utf-8")
    return MadeCase(
        study,
        data,
        rows,
        [data.rows[at] for at in test],
        study.rule(data.schema.id, [peer.key for peer in contributors], plan.case.rounds),
        tabular_manifest(model, study.name, data.licence, "initial"),
        TabularEngine(model, study.name),
        tables,
        TestPublishers(DOMAIN, plan.seed),
        replace(plan, peers=tuple(replace(peer, weights=path) for peer in plan.peers)),
    )


def with_case(network: Network, made: MadeCase) -> Network:
    """The network of a case: with its line, and its tariff if there is one."""
    return replace(network, lines=(made.line,), tariff=made.study.tariff)
