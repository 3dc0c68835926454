"""`network propose`: has the running node propose an amendment of the rules."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.params import NETWORK_FILE, InputFile
from p2pverify.cli.signing import order
from p2pverify.core.contract.network import PARAM_BOUNDS
from p2pverify.node.rules.documents import RulesDocument

if TYPE_CHECKING:
    from p2pverify.core.contract.rules.changes import Change

_TEXT_BYTES_MAX = 1_000_000
_FEATURE_MAX = 62


def read_change(text: str) -> tuple[str, int]:
    """The name and the new value of a rule, from NAME=VALUE. Raises BadParameter."""
    name, equals, value = text.partition("=")
    if not equals or not value.isascii() or not value.isdigit() or len(value) > 16:
        raise click.BadParameter(f"{text[:80]!r} is not NAME=NUMBER, such as slots_milli=3000", param_hint="--set")
    known = [each for each, _, _ in PARAM_BOUNDS]
    if name.replace("-", "_") not in known:
        raise click.BadParameter(f"there is no rule {name[:80]!r}; there are {', '.join(known)}", param_hint="--set")
    return name.replace("-", "_"), int(value)


@click.command()
@click.option("--set", "sets", multiple=True, metavar="NAME=NUMBER", help="A rule's new value; may be repeated.")
@click.option(
    "--class",
    "class_file",
    type=NETWORK_FILE,
    metavar="FILE",
    help="Append the classes of this network file that the rules lack, with the models that they name.",
)
@click.option("--retire", multiple=True, type=click.IntRange(0, 31), metavar="N", help="Retire the class N.")
@click.option(
    "--manifest",
    "manifest_files",
    type=InputFile("make it with 'p2pverify model add FILE -o MANIFEST'"),
    multiple=True,
    metavar="FILE",
    help="List one more model, by its manifest; may be repeated.",
)
@click.option("--referee", metavar="BUILD", help="The engine that judges across classes, by its build id.")
@click.option(
    "--feature",
    "features",
    multiple=True,
    type=click.IntRange(0, _FEATURE_MAX),
    metavar="N",
    help="A feature that programs need to run the new rules; may be repeated.",
)
@click.option(
    "--text", type=InputFile("write the reasons down"), metavar="FILE", help="The reasons, whose hash is signed."
)
@click.option(
    "--in",
    "wait",
    type=click.IntRange(0, 43_200),
    default=0,
    show_default=True,
    metavar="EPOCHS",
    help="Epochs from now before which the amendment takes no effect. Its notice comes in any case.",
)
def propose(
    sets: tuple[str, ...],
    class_file: Path | None,
    retire: tuple[int, ...],
    manifest_files: tuple[Path, ...],
    referee: str | None,
    features: tuple[int, ...],
    text: Path | None,
    wait: int,
) -> None:
    """Propose other rules to the members, and approve them as the first one.

    It takes effect once members with two thirds of the weight, and founders, approve it with 'p2pverify network
    approve', after the notice of the network. A number moves at most by a factor 2 at a time. If an amendment needs
    features, members with two thirds of the weight must also run programs that have them.
    """
    from p2pverify.core.contract.rules.changes import ParamChange, RefereeChange, RetireChange
    from p2pverify.core.encoding.canon import sha256
    from p2pverify.core.records.payloads.amendment import OPEN_EPOCHS_MAX, Amendment
    from p2pverify.node.files.textfile import read_bytes
    from p2pverify.node.reports.documents.status import StatusDocument

    home = current_home()
    rules = client.get(home, "/v1/rules", RulesDocument).document
    index = {name: number for number, (name, _, _) in enumerate(PARAM_BOUNDS)}
    changes: list[Change] = [ParamChange(index[name], value) for name, value in map(read_change, sets)]
    changes += _models(rules, manifest_files, class_file)
    changes += [RetireChange(number) for number in retire]
    changes += [] if referee is None else [RefereeChange(referee)]
    if not changes and not features:
        raise click.UsageError("name a change: --set, --class, --retire, --manifest, --referee or --feature")
    reasons = b"" if text is None else read_bytes(text, size_max=_TEXT_BYTES_MAX, missing="write the reasons down")
    now = client.get(home, "/v1/status", StatusDocument).document.epoch
    expiry = max(now, rules.epoch) + OPEN_EPOCHS_MAX - 1
    made = Amendment(
        bytes.fromhex(rules.root),
        tuple(changes),
        sum(1 << number for number in set(features)),
        min(max(now, rules.epoch) + max(1, wait), expiry),
        expiry,
        sha256(reasons),
    )
    record = order(home, "amendment", made.encode())
    click.echo(f"proposed; others approve it with 'p2pverify network approve {record.hex()[:16]}'")
    click.echo(f"amendment {record.hex()}")


def _models(rules: RulesDocument, manifest_files: tuple[Path, ...], class_file: Path | None) -> "list[Change]":
    """The manifests that the rules do not list, and then the classes that they lack."""
    from p2pverify.core.contract.rules.changes import ClassChange, ManifestChange
    from p2pverify.node.files.manifestfile import load_manifest
    from p2pverify.node.files.networkfile import load_network

    listed = {bytes.fromhex(each.manifest) for each in rules.classes}
    new = dict.fromkeys(load_manifest(each).digest for each in manifest_files)
    if class_file is None:
        return [ManifestChange(each) for each in new]
    known = {each.name for each in rules.classes}
    classes = [kind for kind in load_network(class_file)[0].classes if kind.name not in known]
    if not classes:
        raise click.BadParameter(f"{class_file}: the rules have all of its classes", param_hint="--class")
    new |= dict.fromkeys(kind.manifest for kind in classes if kind.manifest not in listed)
    return [*(ManifestChange(each) for each in new), *(ClassChange(kind) for kind in classes)]
