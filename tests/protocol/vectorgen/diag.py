"""CBOR diagnostic notation (RFC 8949 section 8) with the name of each member as a comment.

The names come from `p2pverify.cddl`, so that pages and grammar cannot drift apart.
"""

import re
from pathlib import Path

from p2pverify.core.canon import Value, decode

CDDL = Path(__file__).parents[3] / "protocol" / "p2pverify.cddl"
_RULE = re.compile(r"^([a-z][a-z0-9-]*) = \[(.*?)^?\]$", re.MULTILINE | re.DOTALL)
_MEMBER = re.compile(r"([a-z][a-z0-9-]*): +(\[[^\]]*\]|[^,\n]*)")
PAYLOADS = {
    1: "network-payload",
    2: "manifest-payload",
    3: "join-payload",
    4: "leave-payload",
    5: "audit-payload",
    6: "duty-payload",
    7: "vote-commit-payload",
    8: "vote-payload",
    9: "cut-payload",
    10: "cut-signature-payload",
    11: "conflict-payload",
}


def rules() -> dict[str, list[tuple[str, str]]]:
    """Names and types of the members of each array in the grammar."""
    text = re.sub(r" *;.*", "", CDDL.read_text(encoding="utf-8"))
    return {name: _MEMBER.findall(body) for name, body in _RULE.findall(text)}


def annotate_record(data: bytes) -> str:
    """A record in diagnostic notation; the payload is shown as the CBOR that it holds."""
    top = decode(data, size_max=65_536)
    assert isinstance(top, list)
    header, signature, payload = top
    assert isinstance(header, list)
    assert isinstance(payload, bytes)
    kind = header[6]
    assert isinstance(kind, int)
    inner = _show(decode(payload, size_max=65_536), PAYLOADS[kind], 1)
    parts = [_show(header, "header", 1), f"  {_scalar(signature)},  / signature /", f"  << {inner.strip()} >>"]
    return "\n".join(["[", *[parts[0] + ","], *parts[1:], "]"])


def annotate(data: bytes, rule: str) -> str:
    """A value that is no record."""
    return _show(decode(data, size_max=65_536), rule, 0)


def _show(value: Value, rule: str, depth: int) -> str:
    pad = "  " * depth
    if not isinstance(value, list):
        return f"{pad}{_scalar(value)}"
    if not value:
        return f"{pad}[]"
    members = rules().get(rule, [])
    lines = [f"{pad}["]
    for at, item in enumerate(value):
        name, kind = members[at] if at < len(members) else ("", _item_of(rule))
        comma = "," if at + 1 < len(value) else ""
        note = f"  / {name} /" if name else ""
        if isinstance(item, list) and not _is_flat(item):
            lines.append(f"{pad}  / {name} /" if name else "")
            lines.append(_show(item, _rule_of(kind), depth + 1) + comma)
        else:
            lines.append(f"{pad}  {_flat(item)}{comma}{note}")
    return "\n".join([*[line for line in lines if line], f"{pad}]"])


def _is_flat(value: list[Value]) -> bool:
    return all(isinstance(item, int) or item is None for item in value)


def _flat(value: Value) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    return _scalar(value)


def _item_of(rule: str) -> str:
    return rule


def _rule_of(kind: str) -> str:
    """The rule of an array's items, or of a member that is an array itself."""
    name = re.sub(r"[^a-z-]|\b\d+\b", " ", kind).split()
    return {"maybe-receipt": "receipt-fields"}.get(name[0], name[0]) if name else ""


def _scalar(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return f"h'{value.hex()}'"
    assert isinstance(value, str)
    return f'"{value}"'
