"""Versions as people name them, looked up in the newest final view of the running node."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import click

from p2pverify.cli import client
from p2pverify.cli.errors import CliError
from p2pverify.node.files.home import Home
from p2pverify.node.lines.documents import (
    LineDocument,
    LinesDocument,
    ReleaseDocument,
    VersionDocument,
    VersionsDocument,
)
from p2pverify.node.lines.words import split_version, version_name

SHOW = "'p2pverify model versions' shows them"


@dataclass(frozen=True, slots=True)
class VersionName:
    """LINE or LINE@N as it was given; `number` is None if it was left out."""

    line: str
    number: int | None


class VersionArgument(click.ParamType[VersionName]):
    """LINE@N, or LINE alone if a `number` is not needed."""

    name = "version"

    def __init__(self, *, needs_number: bool = True) -> None:
        self._needs_number = needs_number

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> VersionName:
        """The name in its parts. Raises BadParameter."""
        if isinstance(value, VersionName):
            return value
        try:
            found = VersionName(*split_version(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if self._needs_number and found.number is None:
            self.fail(f"name a version too, such as {version_name(found.line[:64], 2)}; {SHOW}", param, ctx)
        return found


def find_line(home: Home, name: str | None) -> LineDocument:
    """A line of the network by its name, or its only one. Raises CliError, and as `client.get`."""
    lines = client.get(home, "/v1/lines", LinesDocument).document.lines
    if not lines:
        raise CliError(
            "this network has no lines: its models have one version each",
            "'p2pverify network new --line NAME --publisher KEY' founds a network with one",
        )
    if name is None and len(lines) > 1:
        names = ", ".join(line.name for line in lines)
        raise CliError("this network has several lines", f"name one of them: {names}")
    found = [line for line in lines if name in (None, line.name)]
    if not found:
        raise CliError(f"no line is called {name}", f"its lines: {', '.join(line.name for line in lines)}")
    return found[0]


def versions_path(line: LineDocument) -> str:
    """The path of the versions of a line, whatever characters are in its name."""
    return f"/v1/lines/{line.genesis}/versions"


def get_versions(home: Home, line: LineDocument) -> VersionsDocument:
    """The versions of a line in the newest final view."""
    return client.get(home, versions_path(line), VersionsDocument).document


def get_release(home: Home, line: LineDocument, number: int) -> ReleaseDocument:
    """The bytes of a version."""
    return client.get(home, f"{versions_path(line)}/{number}", ReleaseDocument, refused=SHOW).document


def pick(found: VersionsDocument, number: int) -> VersionDocument:
    """A version of a line. Raises CliError."""
    for version in found.versions:
        if version.number == number:
            return version
    newest = found.versions[-1].number
    raise CliError(
        f"the newest final view knows no version {version_name(found.line.name, number)}; the newest is {newest}",
        "a release counts once a cut is final that holds it: 'p2pverify status' shows the cuts",
    )


def fetch_path(line: LineDocument, number: int) -> str:
    """The path of the order that fetches a version."""
    return f"/v1/fetch?line={quote(line.genesis)}&number={number}"
