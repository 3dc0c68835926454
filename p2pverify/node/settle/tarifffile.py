"""The tariff of a network in TOML: a file for `network new`, and the part of a network file.

The keys are the fields of `core.contract.tariff.Tariff`, which gives their units and meanings.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from p2pverify.core.contract.tariff import Tariff, read_tariff
from p2pverify.core.errors import DecodeError
from p2pverify.node.files.manifesttable import Line, toml_text
from p2pverify.node.files.textfile import FileError
from p2pverify.node.files.tomlfile import load_table

TARIFF_FILE_BYTES_MAX = 65_536
CurveRows = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class TariffTable:
    """The whole file. Amounts in millionths of `unit`; points of curves are [x, permille]."""

    unit: Line
    answer: int
    audit: int
    vote: int
    dissent: int
    vest_epochs: int
    limit: int
    rows_curve: CurveRows
    late_curve: CurveRows
    base_permille: int

    def tariff(self) -> Tariff:
        """The tariff, whose bounds the network definition's reader checks."""
        return Tariff(**{each.name: getattr(self, each.name) for each in fields(self)})


def load_tariff(path: Path) -> Tariff:
    """Read a file of at most 64 KiB. Raises FileError."""
    missing = "protocol/settle.md says what is in a tariff"
    table = load_table(path, TariffTable, size_max=TARIFF_FILE_BYTES_MAX, missing=missing)
    try:
        return read_tariff(table.tariff().to_value())  # type: ignore[arg-type]  # lists of numbers and a text
    except DecodeError as error:
        raise FileError(path, error.reason, "correct this value") from None


def tariff_lines(tariff: Tariff | None) -> list[str]:
    """The lines of a network file for its tariff."""
    if tariff is None:
        return []
    curves = {"rows_curve", "late_curve"}
    found = ["", f"# Amounts in millionths of {tariff.unit}; points of curves are [x, permille].", "[tariff]"]
    for name, value in asdict(tariff).items():
        shown = str([list(point) for point in value]) if name in curves else value
        found.append(f"{name} = {toml_text(value) if name == 'unit' else shown}")
    return found
