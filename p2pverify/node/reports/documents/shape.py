"""What all documents share: the schema name of a whole answer, and numbers with bounds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and, if there is one, the greatest value of a number."""

    minimum: float
    maximum: float | None = None

    def hold(self, number: float) -> bool:
        """Whether a number is within the bounds."""
        return self.minimum <= number and (self.maximum is None or number <= self.maximum)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """The schema of such a number; pydantic calls this for `/openapi.json`."""
        maximum = {} if self.maximum is None else {"maximum": self.maximum}
        return {**handler(schema), "minimum": self.minimum, **maximum}


Count = Annotated[int, Bounds(0)]
Ratio = Annotated[float, Bounds(0, 1)]
Weight = Annotated[int, Bounds(0, 1)]
#: Metadata of a field whose key is a reserved word of Python.
CLASS = {"alias": "class"}


@dataclass(frozen=True, kw_only=True)
class ApiDocument:
    """A whole answer. `schema` names its form and version, and is its first key.

    A class that is derived from another document too names that one first, because fields come in reverse order of
    the bases.
    """

    schema: str
