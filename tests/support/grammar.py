"""Checks whether bytes conform to the grammar of the protocol."""

from functools import cache
from pathlib import Path

import pycddl  # type: ignore[import-untyped]  # it has no stubs

GRAMMAR = Path(__file__).parents[2] / "protocol" / "p2pverify.cddl"


@cache
def _schema(rule: str) -> pycddl.Schema:
    """The grammar with one rule at the top, because validation begins there."""
    return pycddl.Schema(f"start = {rule}\n" + GRAMMAR.read_text(encoding="utf-8"))


def conforms(rule: str, data: bytes) -> bool:
    """Whether bytes conform to a rule."""
    try:
        _schema(rule).validate_cbor(data)
    except pycddl.ValidationError:
        return False
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return False  # the validator panics if a list is missing, or one of two lists in a row
    return True
