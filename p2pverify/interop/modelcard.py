"""Model cards as Hugging Face has them: Markdown with YAML before it.

The YAML of strangers is read in a safe subset: every scalar is text, and anchors, tags and merge keys are refused.
"""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from p2pverify.core.contract.history.release import How
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.interop.facts import TOOL, VersionFacts
from p2pverify.interop.foreign import DEPTH_MAX, ForeignError, Json

CARD_BYTES_MAX = 1 << 20
FRONT_BYTES_MAX = 65_536
_NODES_MAX = 4096
_FENCE = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_LICENCE_ID = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
#: Hugging Face's names of the ways in which a model comes from its base.
_RELATIONS = {How.QUANTISE: "quantized", How.MERGE: "merge", How.FINE_TUNE: "finetune", How.ROUND: "finetune"}


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model card: the metadata, whose scalars are texts, and the Markdown after it."""

    metadata: dict[str, Json]
    text: str

    def first(self, name: str) -> str:
        """A text of the metadata, the first one of a list, "" if there is none."""
        value = self.metadata.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        return value if isinstance(value, str) else ""


def write_card(facts: VersionFacts) -> str:
    """The card of a version."""
    front: str = yaml.safe_dump(_front(facts), sort_keys=False, allow_unicode=True, default_flow_style=False)
    manifest = facts.manifest
    rows = [("version", facts.version), ("licence", manifest.licence), ("weights", manifest.weights.hex())]
    rows += facts.properties()
    table = "\n".join(f"| {name} | {_cell(text)} |" for name, text in rows)
    files = "\n".join(f"| {_cell(one.path)} | {one.size} | {one.sha256.hex()} |" for one in facts.files)
    return (
        f"---\n{front}---\n\n# {_cell(manifest.model)}\n\n"
        f"A version of a model as p2pverify describes it. SHA-256 is in hexadecimal.\n\n"
        f"| | |\n|---|---|\n{table}\n\n| file | bytes | SHA-256 |\n|---|---|---|\n{files}\n"
    )


def _front(facts: VersionFacts) -> dict[str, Any]:
    licence = facts.manifest.licence.strip()
    found: dict[str, Any] = {}
    if _LICENCE_ID.fullmatch(licence.lower()):
        found["license"] = licence.lower()
    elif licence:
        found |= {"license": "other", "license_name": licence}
    found["library_name"] = "gguf"
    found["pipeline_tag"] = "text-generation"
    found["tags"] = [TOOL, "gguf"]
    bases = [parent.name for parent in facts.parents if _REPOSITORY.fullmatch(parent.name)]
    if bases and facts.how in _RELATIONS:
        found |= {"base_model": bases, "base_model_relation": _RELATIONS[facts.how]}
    own: dict[str, Any] = {"model": facts.manifest.model, "weights": facts.manifest.weights.hex()}
    own |= {name: text for name, text in facts.properties() if name not in {"publisher", "parent"}}
    if facts.publishers:
        own["publishers"] = [peer_id(key) for key in facts.publishers]
    if facts.parents:
        own["parents"] = [
            {"name": one.name, "manifest": one.manifest.hex()}
            | ({} if one.weights is None else {"weights": one.weights.hex()})
            for one in facts.parents
        ]
    found[TOOL] = own
    return found


def _cell(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).replace("|", "\\|")


def read_card(data: bytes) -> ModelCard:
    """Read a card. Raises ForeignError."""
    if len(data) > CARD_BYTES_MAX:
        raise ForeignError(f"a model card of more than {CARD_BYTES_MAX} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ForeignError("a model card that is not UTF-8") from None
    found = _FENCE.match(text)
    if found is None:
        return ModelCard({}, text)
    return ModelCard(_read_front(found[1]), text[found.end() :])


def _read_front(text: str) -> dict[str, Json]:
    if len(text.encode()) > FRONT_BYTES_MAX:
        raise ForeignError(f"the metadata of a model card have more than {FRONT_BYTES_MAX} bytes")
    try:
        _check_events(text)
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        problem = str(getattr(error, "problem", None) or "too deep")
        raise ForeignError(f"the metadata of a model card are no YAML: {problem[:200]}") from None
    value = {} if root is None else _plain(root)
    if not isinstance(value, dict):
        raise ForeignError("the metadata of a model card are no mapping")
    return value


def _plain(node: yaml.Node) -> Json:
    """A node as plain data: every scalar is the text that stands there."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return str(node.value)
    found: dict[str, Json] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            raise ForeignError("the metadata of a model card have a key that is no text, or a merge key")
        if key.value in found:
            raise ForeignError(f"the metadata of a model card have {key.value[:80]!r} twice")
        found[key.value] = _plain(value)
    return found


def _check_events(text: str) -> None:
    """Refuse what is no plain data, before anything is built of it."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.BaseLoader)):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ForeignError("the metadata of a model card have an anchor or an alias")
        if getattr(event, "tag", None) is not None:
            raise ForeignError("the metadata of a model card have a tag")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX or count > _NODES_MAX:
            raise ForeignError("the metadata of a model card are too deep or too long")
