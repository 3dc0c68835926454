"""CBOR diagnostic notation (RFC 8949 section 8) with the name of each member as a comment.

The names come from `p2pverify.cddl`, so that pages and grammar always agree.
"""

import re
from functools import cache
from pathlib import Path

from p2pverify.core.encoding.canon import Value, decode

CDDL = Path(__file__).parents[3] / "protocol" / "p2pverify.cddl"
SIZE_MAX = 65_536
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
    12: "sponsor-payload",
    13: "objection-payload",
    14: "report-payload",
    15: "release-payload",
    16: "recall-payload",
    17: "serve-payload",
    18: "dataset-payload",
    19: "erasure-payload",
    20: "statement-payload",
    21: "rotation-payload",
    22: "update-seal-payload",
    23: "update-payload",
    24: "round-commit-payload",
    25: "round-vote-payload",
    26: "pledge-payload",
    27: "cheque-payload",
    28: "payment-payload",
    31: "loss-seal-payload",
    32: "loss-report-payload",
    34: "amendment-payload",
    35: "approval-payload",
    36: "handover-payload",
    37: "object-payload",
    38: "rekey-payload",
}
_RULE = re.compile(r"^([a-z][a-z0-9-]*) = (\[[^=]*\]|.*)$", re.MULTILINE)


@cache
def rules() -> dict[str, str]:
    """The right-hand sides of the grammar, without comments."""
    text = re.sub(r" *;.*", "", CDDL.read_text(encoding="utf-8"))
    return {name: " ".join(body.split()) for name, body in _RULE.findall(text)}


def members(kind: str, count: int) -> list[tuple[str, str]]:
    """Name and type of each of `count` items of an array type."""
    body = rules().get(kind, kind)
    if " / " in body and body.startswith("null"):  # maybe-receipt
        return members(body.removeprefix("null / "), count)
    if " / " in body and not body.startswith("["):  # the first alternative with as many items
        kinds = (members(each, count) for each in body.split(" / ") if rules().get(each, "").startswith("["))
        return next((each for each in kinds if len(each) == count), [("", "")] * count)
    if not body.startswith("["):
        return [("", "")] * count
    inner = body[1:-1].strip()
    if many := re.match(r"[0-9]*\*[0-9]* *(.*)", inner):
        return [("", many[1])] * count
    found = []
    for part in re.findall(r"(?:\[[^\]]*\]|\"[^\"]*\"|[^,\[])+", inner):
        name, colon, type_ = part.strip().partition(": ")
        found.append((name, type_ if colon else name))
    return [item for item in found if item[0]]


def annotate_record(data: bytes) -> str:
    """A record with its payload shown as the CBOR that it holds."""
    top = decode(data, size_max=SIZE_MAX)
    assert isinstance(top, list)
    header, signature, payload = top
    assert isinstance(header, list)
    assert isinstance(payload, bytes)
    kind = header[6]
    assert isinstance(kind, int)
    inner = _lines(decode(payload, size_max=SIZE_MAX), PAYLOADS[kind], 2)
    lines = ["[", "  / header /", *_lines(header, "header", 1)]
    lines[-1] += ","
    lines += [f"  {_scalar(signature)},  / signature /", "  / payload /", "  <<", *inner, "  >>", "]"]
    return "\n".join(lines)


def annotate(data: bytes, rule: str) -> str:
    """A value that is no record."""
    return "\n".join(_lines(decode(data, size_max=SIZE_MAX), rule, 0))


def _lines(value: Value, kind: str, depth: int) -> list[str]:
    pad = "  " * depth
    if not isinstance(value, list) or not value:
        return [pad + _flat(value)]
    lines = [pad + "["]
    for at, (item, (name, type_)) in enumerate(zip(value, members(kind, len(value)), strict=True)):
        comma = "," if at + 1 < len(value) else ""
        if isinstance(item, list) and not all(isinstance(each, int) for each in item):
            lines += [f"{pad}  / {name} /"] if name else []
            lines += _lines(item, type_, depth + 1)
            lines[-1] += comma
        else:
            lines.append(f"{pad}  {_flat(item)}{comma}" + (f"  / {name} /" if name else ""))
    return [*lines, pad + "]"]


def _flat(value: Value) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return f"h'{value.hex()}'"
    assert isinstance(value, str)
    return f'"{value}"'
