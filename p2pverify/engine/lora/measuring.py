"""The class in which this machine trains: the path and the proof that the rule of a line names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.engine.gguf.weights import check
from p2pverify.engine.lora.model import numeric_path
from p2pverify.engine.lora.tools import LoraFault, LoraTools
from p2pverify.engine.onhand import find_file


@dataclass(frozen=True, slots=True)
class TrainingClass:
    """The class of this machine for a line: its path, its proof in hexadecimal, and whether it is the rule's."""

    line: str
    path: str
    golden: str
    is_ours: bool


def measured_classes(
    network: Network, manifests: Sequence[Manifest], weights: Path | None = None
) -> list[TrainingClass]:
    """The class for each line that trains a language model. `weights` is the file of version 0 of all of them.

    Without it the file is found on this machine. Blocks. Raises EngineUnavailable, LoraFault.
    """
    by_digest = {manifest.digest: manifest for manifest in manifests}
    found = []
    for line in network.lines:
        rule, manifest = line.training, by_digest.get(line.genesis)
        if rule is None or rule.lora is None:
            continue
        path = weights or (None if manifest is None else find_file(manifest.weights, "llama"))
        if path is None:
            raise LoraFault(f"this machine does not have the weights of line {line.name}", "name a file with --weights")
        file = check(path, None if manifest is None else manifest.weights)
        tools = LoraTools({file: path}.get)
        golden = tools.golden(tools.first(path, file, rule.lora.rank), rule)
        found.append(TrainingClass(line.name, numeric_path(), golden.hex(), golden == rule.lora.golden))
    return found
