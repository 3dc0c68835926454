"""`model recall` and `model publishers`: a version is taken back, and other keys may release the next ones."""

import json
from pathlib import Path

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError
from p2pverify.cli.lines import sheets
from p2pverify.cli.lines.naming import VersionArgument, VersionName, find_line, get_versions, pick
from p2pverify.cli.output import force_option, may_replace
from p2pverify.cli.signing import order
from p2pverify.cli.table import pairs
from p2pverify.node.files.outputs import check_output
from p2pverify.node.lines.documents import VersionsDocument
from p2pverify.node.lines.words import version_name

#: The reasons that a record can have, in the order of their codes from 1.
REASONS = ("defective", "vulnerable", "stolen-key", "data-erased", "licence", "other")
VOTE_SCHEMA = "p2pverify/recall-vote/1"


@click.command()
@click.argument("version", type=VersionArgument(), metavar="LINE@N")
@click.option(
    "--back-to",
    type=click.IntRange(0),
    metavar="M",
    help="Recall everything after version M (default: the newest one before N that is not recalled).",
)
@sheets.key_option
@click.option("--as-member", is_flag=True, help="This node's own vote instead; two thirds of the weight recall it.")
@sheets.network_option
@click.option("--reason", required=True, type=click.Choice(REASONS), help="Why nobody should serve it.")
@sheets.output_option
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def recall(
    version: VersionName,
    back_to: int | None,
    reason: str,
    keys: tuple[Path, ...],
    as_member: bool,
    network_file: Path | None,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Take back version N of LINE, and all versions between it and the one to go back to.

    Publishers sign as for 'model publish'. If they cannot or do not want to, members with two thirds of the weight can
    do it: each votes with --as-member, for the same N and M.
    """
    from p2pverify.core.records.payloads.lines.recall import Reason, Recall

    if bool(keys) == as_member:
        raise click.UsageError("give either a publisher's --key, or --as-member")
    home = current_home()
    assert version.number is not None
    line = find_line(home, version.line)
    found = get_versions(home, line)
    if version.number == 0:
        raise CliError("version 0 cannot be recalled: it is the one of the network file", "publish a next version")
    if pick(found, version.number).status == "recalled":
        raise CliError(f"{version_name(line.name, version.number)} is recalled already", "nothing is left to do")
    target = _newest_before(found, version.number) if back_to is None else back_to
    if target >= version.number:
        raise click.BadParameter("name an earlier version", param_hint="--back-to")
    if pick(found, target).status == "recalled":
        raise click.BadParameter(f"version {target} is recalled itself", param_hint="--back-to")
    said = Recall(line.index, version.number, Reason(1 + REASONS.index(reason)), target)
    if as_member:
        client.prove(home)
        record = order(home, "recall", said.encode())
        document = {"schema": VOTE_SCHEMA, "line": line.name, "version": version.number, "back_to": target}
        document["record"] = record.hex()
        others = f"p2pverify model recall {version_name(line.name, version.number)} --back-to {target} "
        rows = [(name.replace("_", " "), document[name]) for name in ("line", "version", "back_to", "record")]
        rows.append(("next", f"it is recalled once two thirds of the weight vote '{others}--reason ... --as-member'"))
        click.echo(json.dumps(document) if as_json else pairs(rows))
        return
    file = output or Path(f"recall-{version.number}.json")
    check_output(file, may_replace(force=force))
    network = sheets.load_contract(network_file)
    sheets.finish(network, sheets.sign_new(network, said, keys), file, force=force, as_json=as_json)


def _newest_before(found: VersionsDocument, number: int) -> int:
    """The newest version before one that is not recalled. Version 0 never is."""
    return max(each.number for each in found.versions if each.number < number and each.status != "recalled")


@click.command()
@click.argument("line_name", metavar="LINE")
@click.option("--set", "names", multiple=True, required=True, metavar="KEY", help="A new publisher; may be repeated.")
@sheets.key_option
@sheets.network_option
@click.option("--threshold", required=True, type=click.IntRange(1, 8), help="How many of them sign each statement.")
@sheets.output_option
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def publishers(
    line_name: str,
    names: tuple[str, ...],
    threshold: int,
    keys: tuple[Path, ...],
    network_file: Path | None,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Name the publishers of LINE from now on. Those before sign it, as for 'model publish'.

    Each KEY is what 'p2pverify model publisher-key new' printed. Publishers that stay have to be named too.
    """
    from p2pverify.cli.lines.founding import read_publisher_keys
    from p2pverify.core.contract.history.lines import Publishers
    from p2pverify.core.records.payloads.lines.rotation import Rotation

    found = read_publisher_keys(names, "--set")
    if threshold > len(found):
        raise click.BadParameter(f"{threshold} of {len(found)} keys can never sign", param_hint="--threshold")
    line = find_line(current_home(), line_name)
    number = line.rotations + 1
    file = output or Path(f"publishers-{number}.json")
    check_output(file, may_replace(force=force))
    network = sheets.load_contract(network_file)
    said = Rotation(line.index, number, Publishers(found, threshold), ())
    sheets.finish(network, sheets.sign_new(network, said, keys), file, force=force, as_json=as_json)
