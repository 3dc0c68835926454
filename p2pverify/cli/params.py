"""Checks of options and arguments as soon as they are read: before a model is loaded or anything is written."""

import re
import stat
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli.errors import CliError
from p2pverify.node.engines.kinds import DEFAULT_ENGINE, EngineKind

if TYPE_CHECKING:
    from p2pverify.engine.cheats.spec import CheatSpec
    from p2pverify.node.endpoints.address import Address


class HintedParameter(click.BadParameter):
    """An unusable value, with a hint."""

    def __init__(self, message: str, hint: str, ctx: click.Context | None, param: click.Parameter | None) -> None:
        super().__init__(message, ctx, param)
        self.hint = hint


class InputFile(click.Path):
    """An existing file to read; `hint` says where it comes from. It may be a pipe.

    With `allow_stdin`, "-" stands for standard input.
    """

    def __init__(self, hint: str = "", *, allow_stdin: bool = False) -> None:
        super().__init__(dir_okay=False, path_type=Path)
        self.hint = hint
        self.allow_stdin = allow_stdin

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path of an existing file. Raises HintedParameter."""
        hint = self.hint or "check its name"
        if self.allow_stdin and str(value) == "-":
            return Path(value)
        try:
            mode = Path(value).stat().st_mode
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise HintedParameter(f"{value}: there is no such file", hint, ctx, param) from None
        except OSError as error:
            raise HintedParameter(f"{value} cannot be read ({error.strerror})", hint, ctx, param) from None
        if stat.S_ISDIR(mode):
            raise HintedParameter(f"{value} is a directory, not a file", hint, ctx, param)
        return Path(value)


class InputPath(click.ParamType[Path]):
    """An existing file or folder to read; `hint` says where it comes from. With `name` "folder" it should be a folder.

    Whether it is what it should be is found out by reading it.
    """

    def __init__(self, hint: str, name: str = "path") -> None:
        self.hint = hint
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path of an existing file or folder. Raises HintedParameter."""
        path, wanted = Path(value), "folder" if self.name == "folder" else "file or folder"
        try:
            path.stat()
        except (OSError, ValueError):
            raise HintedParameter(f"{value}: there is no such {wanted}", self.hint, ctx, param) from None
        return path


def read_id(text: str) -> bytes | None:
    """An id (32 B) given as 64 hexadecimal digits; None for any other text."""
    return bytes.fromhex(text) if re.fullmatch("[0-9a-fA-F]{64}", text, re.ASCII) else None


class CutId(click.ParamType[bytes]):
    """The id of a cut."""

    name = "cut"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """The id (32 B). Raises BadParameter."""
        found = read_id(str(value))
        if found is None:
            self.fail("give the 64 hexadecimal digits of a cut's id", param, ctx)
        return found


class Millionths(click.ParamType[str | int]):
    """A decimal number of at most six places after the point, as a whole number of millionths."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of millionths. Raises BadParameter."""
        if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", str(value), re.ASCII):
            self.fail("give a number like 0.01, with at most 6 places after the point", param, ctx)
        return int(Decimal(str(value)).scaleb(6))


class NameOfPeer(click.ParamType[str]):
    """A peer id."""

    name = "peer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The peer id. Raises BadParameter."""
        from p2pverify.core.encoding.peerid import key_of
        from p2pverify.core.errors import DecodeError

        try:
            key_of(str(value))
        except DecodeError:
            self.fail("give a peer id (12D3Koo...)", param, ctx)
        return str(value)


NETWORK_FILE = InputFile("make one with 'p2pverify network new', or ask a founder of the network for it")
WEIGHTS = InputFile("correct the path, or leave the option out to use the bundled model")


def engine_option(kinds: Sequence[EngineKind]) -> Callable[[Any], Any]:
    """`--engine` of a command that runs a model of its own."""
    return click.option(
        "--engine", type=click.Choice(kinds), default=DEFAULT_ENGINE, show_default=True, help="What runs the model."
    )


def read_cheat(ctx: click.Context, param: click.Parameter, text: str | None) -> "CheatSpec | None":
    """The callback of an option `KIND[:ARGUMENT][@RATE]`: its cheat, if it is given. Raises HintedParameter."""
    from p2pverify.engine.cheats.spec import parse_spec

    try:
        return None if text is None else parse_spec(text)
    except ValueError as error:
        raise HintedParameter(str(error), "for example --cheat quantize:q4_0@0.3", ctx, param) from None


def find_peer(name: str, ids: Sequence[str]) -> str:
    """The peer id of a name: a whole id, or a short name as in 'p2pverify scores'. Raises CliError."""
    from p2pverify.node.reports.shown import short_ids

    short = short_ids(ids)
    matching = [each for each in ids if name in (each, short[each])]
    if len(matching) != 1:
        raise CliError(f"no peer {name} in the newest final view", "'p2pverify scores' shows the peers")
    return matching[0]


def check_addresses(
    option: str, texts: Sequence[str], read: "Callable[[str], Address]", own: bytes, *, count_max: int = 1
) -> None:
    """Raise BadParameter for an unusable address in an option, or one that names another peer than `own`.

    `own` is empty for bootstrap peers, because their addresses may name any peer.
    """
    from p2pverify.core.encoding.peerid import peer_id
    from p2pverify.node.files.config import check_address

    if len(texts) > count_max:
        raise click.BadParameter(f"at most {count_max} addresses can be given", param_hint=option)
    for text in texts:
        try:
            check_address(text, read)
            if own and read(text).peer not in (None, own):
                raise ValueError(f"{text!r} names another peer; this node is {peer_id(own)}")
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=option) from None
