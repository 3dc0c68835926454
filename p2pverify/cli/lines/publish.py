"""`model publish`: prepares a release, signs it, and has the running node publish it.

The three steps can happen on three machines: a machine with the model, those of the publishers, and one of a member.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError, NotVerifiedError
from p2pverify.cli.lines import sheets
from p2pverify.cli.lines.naming import find_line, get_release, get_versions, pick
from p2pverify.cli.output import force_option, may_replace
from p2pverify.cli.params import InputFile, read_id
from p2pverify.cli.progress import Progress
from p2pverify.cli.signing import order
from p2pverify.cli.table import pairs
from p2pverify.node.files.home import Home
from p2pverify.node.files.outputs import check_output
from p2pverify.node.files.textfile import read_bytes
from p2pverify.node.lines.words import split_version

if TYPE_CHECKING:
    from p2pverify.core.contract.history.files import FileEntry
    from p2pverify.core.contract.history.recipe import Recipe
    from p2pverify.core.contract.history.release import How, Release
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.engine.lineage.check import Parent
    from p2pverify.node.lines.documents import LineDocument

DERIVED_BYTES_MAX = 65_536
_WORDS = ("initial", "fine-tune")


@click.command()
@click.argument("weights", required=False, type=InputFile("name the GGUF file of the new version"))
@click.option("--line", "line_name", metavar="NAME", help="The line; it can be left out if the network has one.")
@sheets.key_option
@click.option("--parent", "parents", multiple=True, metavar="LINE@N", help="Made from this version; may be repeated.")
@click.option(
    "--how",
    metavar="HOW",
    help="How it was made: initial, fine-tune, or a recipe as for 'model derive', such as quantise:q5_0.",
)
@click.option(
    "--derived",
    type=InputFile("write it with 'p2pverify model derive ... --json > FILE'"),
    metavar="FILE",
    help="What 'model derive --json' printed, instead of --how.",
)
@click.option(
    "--manifest",
    "manifest_file",
    type=InputFile("make it with 'p2pverify model add' or 'model selftest --manifest'"),
    metavar="FILE",
    help="A manifest with measurements from several machines, instead of measuring here.",
)
@click.option(
    "--file", "files", type=InputFile(), multiple=True, metavar="FILE", help="A further file; may be repeated."
)
@click.option(
    "--oms", "bundle", type=InputFile("make it with 'p2pverify model export --format oms'"), metavar="FILE",
    help="A bundle of OpenSSF Model Signing over the files; it is released with them.",
)  # fmt: skip
@click.option("--provenance", default="", metavar="TEXT", help="Where the model comes from, in words.")
@click.option("--sign", "to_sign", type=InputFile(), metavar="FILE", help="Only add signatures to a prepared FILE.")
@click.option("--submit", type=InputFile(), metavar="FILE", help="Only have the running node publish a signed FILE.")
@sheets.network_option
@sheets.output_option
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def publish(
    weights: Path | None,
    line_name: str | None,
    keys: tuple[Path, ...],
    parents: tuple[str, ...],
    how: str | None,
    derived: Path | None,
    manifest_file: Path | None,
    files: tuple[Path, ...],
    bundle: Path | None,
    provenance: str,
    to_sign: Path | None,
    submit: Path | None,
    network_file: Path | None,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Release WEIGHTS as the next version of a line, in three steps.

    \b
    p2pverify model publish new.gguf --parent LINE@0 --how fine-tune --key KEY    measures, and writes release.json
    p2pverify model publish --sign release.json --key KEY2                        for each further publisher
    p2pverify model publish --submit release.json                                 through the node of a member

    Golden answers for the classes of the network are computed here, as far as this machine can. A recipe is run if the
    parents' files are here; the exit code is 5 if it gives another file. The last two steps are also those of 'model
    recall' and 'model publishers'.
    """
    _check_mode(weights, to_sign, submit)
    if submit is not None:
        _submit(submit, as_json=as_json)
        return
    from p2pverify.node.lines.papers import load_paper

    if to_sign is not None:
        network, target = sheets.load_contract(network_file), output or to_sign
        paper = sheets.sign_more(network, load_paper(to_sign), keys)
        sheets.finish(network, paper, target, force=force or target == to_sign, as_json=as_json)
        return
    assert weights is not None
    if not keys:
        raise click.UsageError("name a publisher's key with --key")
    if (how is None) == (derived is None):
        raise click.UsageError("say how the version was made, with either --how or --derived")
    from p2pverify.node.files.manifestfile import keep_weights

    home = current_home()
    network = sheets.load_contract(network_file)
    line = find_line(home, line_name)
    number = line.newest + 1
    target = output or Path(f"release-{number}.json")
    check_output(target, may_replace(force=force))
    with Progress() as progress:
        made = _Maker(home, line, weights, progress)
        above = made.parents(parents)
        way, recipe = made.how(how, derived, above)
        manifest = made.manifest(network, manifest_file, [one.digest for one in above], provenance)
        entries, oms = made.files(files, bundle, manifest)
        keep_weights(manifest.model, manifest.weights, weights)  # so that a node of this user can serve it
        release = made.release(number, manifest, above, way, recipe, entries, oms)
    sheets.finish(network, sheets.sign_new(network, _unsigned(release), keys), target, force=force, as_json=as_json)


def _check_mode(weights: Path | None, to_sign: Path | None, submit: Path | None) -> None:
    if sum(each is not None for each in (weights, to_sign, submit)) != 1:
        raise click.UsageError("give either WEIGHTS, --sign FILE or --submit FILE")


def _submit(file: Path, *, as_json: bool) -> None:
    """Have the node publish a statement."""
    from p2pverify.node.lines.papers import load_paper

    home = current_home()
    paper = load_paper(file)
    network = sheets.load_contract(None)
    sheets.check_network(network, paper)
    client.prove(home)
    record = order(home, paper.kind, paper.payload)
    document = {**sheets.describe_paper(network, paper), "record": record.hex()}
    if as_json:
        click.echo(json.dumps(document))
        return
    rows = [(name, document[name]) for name in ("kind", "line", "record")]
    click.echo(pairs([*rows, ("next", "it counts once a cut is final that holds it: 'p2pverify model versions'")]))


def _unsigned(release: "Release") -> Any:
    from p2pverify.core.records.payloads.lines.release import SignedRelease

    return SignedRelease(release, ())


class _Known:
    """A parent: the digest of its manifest, and of its weights if they are known (32 B each)."""

    def __init__(self, digest: bytes, weights: bytes | None, manifest: "Manifest | None") -> None:
        self.digest = digest
        self.weights = weights
        self.manifest = manifest


class _Maker:
    """Makes the parts of a release from files and from the running node's view."""

    def __init__(self, home: Home, line: "LineDocument", weights: Path, progress: Progress) -> None:
        self._home = home
        self._line = line
        self._weights = weights
        self._progress = progress

    def parents(self, texts: Sequence[str]) -> list[_Known]:
        """The parents that were named: LINE@N, or the digest of a manifest outside of the network. Raises CliError."""
        from p2pverify.core.contract.manifest import decode_manifest

        found = []
        for text in texts:
            digest = read_id(text)
            if digest is not None:
                found.append(_Known(digest, None, None))
                continue
            try:
                name, number = split_version(text)
                if number is None:
                    raise ValueError(f"{text[:80]!r} is neither LINE@N nor the 64 digits of a manifest")
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint="--parent") from None
            line = find_line(self._home, name)
            version = pick(get_versions(self._home, line), number)
            data = get_release(self._home, line, number).manifest
            manifest = None if data is None else decode_manifest(bytes.fromhex(data))
            digest = bytes.fromhex(version.manifest)
            found.append(_Known(digest, None if manifest is None else manifest.weights, manifest))
        if len({one.digest for one in found}) != len(found):
            raise click.BadParameter("a version is named twice", param_hint="--parent")
        return found

    def how(self, how: str | None, derived: Path | None, above: Sequence[_Known]) -> "tuple[How, Recipe | None]":
        """How the version was made, and the recipe if there is one. Raises BadParameter and CliError."""
        from p2pverify.core.contract.history.recipe import decode_recipe
        from p2pverify.core.contract.history.release import HOW_OF, How
        from p2pverify.core.errors import DecodeError
        from p2pverify.engine.lineage.spelling import recipe_of

        if how in _WORDS:
            return (How.INITIAL if how == "initial" else How.FINE_TUNE), None
        if derived is not None:
            data = read_bytes(derived, size_max=DERIVED_BYTES_MAX, missing="run 'p2pverify model derive' with --json")
            try:
                recipe = decode_recipe(bytes.fromhex(json.loads(data)["recipe"]))
            except (ValueError, TypeError, KeyError, RecursionError, DecodeError):
                raise CliError(
                    f"{derived} is not the output of 'p2pverify model derive --json'", "derive the file again"
                ) from None
        else:
            assert how is not None
            weights = [one.weights for one in above if one.weights is not None]
            try:
                recipe = recipe_of(how, weights)
            except ValueError as error:
                raise click.BadParameter(f"{error}; or say initial or fine-tune", param_hint="--how") from None
        return HOW_OF[type(recipe)], recipe

    def manifest(self, network: Any, given: Path | None, above: Sequence[bytes], provenance: str) -> "Manifest":
        """The manifest of the version, with golden answers. Raises CliError."""
        from dataclasses import replace

        from p2pverify.cli.lines.measuring import measured_manifest
        from p2pverify.engine.gguf.weights import check
        from p2pverify.node.files.manifestfile import load_manifest

        parent = above[0] if above else None
        if given is None:
            base = get_release(self._home, self._line, 0).manifest
            made = measured_manifest(network, self._line.index, self._weights, base, self._progress)
            return replace(made, parent=parent, provenance=provenance)
        known = load_manifest(given)
        if check(self._weights, None, self._progress) != known.weights:
            raise CliError(f"{given} describes other weights than {self._weights}", "name the file that it describes")
        return replace(known, parent=parent, provenance=provenance or known.provenance)

    def files(
        self, more: Sequence[Path], bundle: Path | None, manifest: "Manifest"
    ) -> "tuple[tuple[FileEntry, ...], bytes | None]":
        """The entries of all files, sorted by path, and the digest of the bundle. Raises CliError and FileError."""
        from p2pverify.core.contract.history.files import check_path
        from p2pverify.core.errors import DecodeError
        from p2pverify.interop import oms
        from p2pverify.store.blobs.measure import measure_file

        paths = [self._weights, *more, *([] if bundle is None else [bundle])]
        entries = []
        for number, path in enumerate(paths):
            self._progress("hashing files", number, len(paths))
            try:
                entries.append(measure_file(path).entry(check_path(path.name)))
            except DecodeError as error:
                raise CliError(f"{path}: {error.reason}", "rename the file") from None
        if len({entry.path for entry in entries}) != len(entries):
            raise CliError("two of the files have one name", "rename one of them")
        if entries[0].sha256 != manifest.weights:
            raise CliError(f"{self._weights} changed while it was measured", "try again when nothing writes it")
        if bundle is None:
            return tuple(sorted(entries, key=lambda entry: entry.path)), None
        signed = oms.read_bundle(read_bytes(bundle, size_max=oms.BUNDLE_BYTES_MAX, missing="name the bundle"))
        unsigned = {entry.sha256 for entry in entries[:-1]} - {file.sha256 for file in signed.files}
        if unsigned:
            raise NotVerifiedError(
                f"{bundle} does not sign {len(unsigned)} of the files", "make it over the folder of all these files"
            )
        return tuple(sorted(entries, key=lambda entry: entry.path)), entries[-1].sha256

    def release(
        self,
        number: int,
        manifest: "Manifest",
        above: Sequence[_Known],
        way: "How",
        recipe: "Recipe | None",
        entries: "tuple[FileEntry, ...]",
        oms: bytes | None,
    ) -> "Release":
        """The release, whose recipe was run if the parents' files are here. Raises CliError and NotVerifiedError."""
        from p2pverify.core.contract.history.recipe import encode_recipe
        from p2pverify.core.contract.history.release import RELEASE_BYTES_MAX, Release, decode_statement
        from p2pverify.core.errors import DecodeError
        from p2pverify.engine.lineage.check import check_lineage

        digests = tuple(sorted(one.digest for one in above))
        data = None if recipe is None else encode_recipe(recipe)
        made = Release(self._line.index, number, manifest.encode(), digests, way, data, entries, oms)
        statement = made.statement(bytes(32))
        try:
            decode_statement(statement)
        except DecodeError as error:
            hint = "name its parents with --parent, and how it was made with --how"
            if len(statement) > RELEASE_BYTES_MAX:
                hint = "use a manifest with fewer measurements"
            raise CliError(f"this makes no release: {error.reason}", hint) from None
        if recipe is not None:
            found = check_lineage(
                made, self._at_hand(above), self._weights, scratch=self._home.path, progress=self._progress
            )
            if found.is_refuted:
                raise NotVerifiedError(f"the recipe does not make this version: {found.reason}", "correct --how")
            self._progress.close()
            click.echo(f"lineage: {found.grade}: {found.reason}", err=True)
        return made

    def _at_hand(self, above: Sequence[_Known]) -> "list[Parent]":
        from p2pverify.cli.lines.lineage import WeightsFinder
        from p2pverify.engine.lineage.check import Parent

        files, found = WeightsFinder(self._home), []
        for one in above:
            path = None if one.weights is None else files.find(one.weights)
            if one.manifest is not None and path is not None:
                found.append(Parent(one.manifest, path))
        return found
