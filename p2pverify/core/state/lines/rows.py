"""The rows of lines and versions behind the root of a view."""

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.canon import encode
from p2pverify.core.state.lines.notes import LineNotes
from p2pverify.core.state.lines.versions import find_version, is_tainted, notes_of, status_of
from p2pverify.core.state.rounds.rows import rounds_row
from p2pverify.core.state.state import State


def line_rows(network: Network, state: State) -> list[bytes]:
    """The canonical rows: for each line its own row, then those of its versions, version 0 first; then the rounds."""
    notes = [notes_of(network, state, index) for index in range(len(network.lines))]
    rows: list[object] = []
    for index, one in enumerate(notes):
        struck = sorted(one.struck)
        rows.append([index, one.publishers.to_value(), struck, one.newest, one.rotations])
        rows += [_version_row(network, state, notes, index, number) for number in numbers_of(one)]
    return [*map(encode, rows), *(rounds_row(index, state.rounds[index]) for index in sorted(state.rounds))]


def numbers_of(notes: LineNotes) -> list[int]:
    """The numbers of the known versions of a line, version 0 first."""
    return [0, *(version.number for version in notes.versions)]


def _version_row(network: Network, state: State, notes: list[LineNotes], index: int, number: int) -> list[object]:
    line, one = network.lines[index], notes[index]
    status = str(status_of(line, one, number, state.epoch))
    version = find_version(one, number)
    if version is None:
        return [index, number, line.genesis, [], 0, 0, 0, status, False, 0]
    return [
        index,
        number,
        version.manifest,
        list(version.parents),
        version.announced_epoch + 1,
        version.recalled_epoch + 1,
        int(version.reason),
        status,
        is_tainted(notes, version),
        version.erased_epoch + 1,
    ]
