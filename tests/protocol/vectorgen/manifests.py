"""Cases of the manifest."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from vectorgen.case import Case, changed, forged, ignore, judged, reject, said
from vectorgen.examples import ACROSS, ALICE, DAVE, MANIFEST, NETWORK, record

from p2pverify.core.contract.golden import Golden, GoldenAnswer, GoldenPath
from p2pverify.core.contract.manifest import MANIFEST_BYTES_MAX, Calibration, Canary, CanaryAnswer, Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Ask
from p2pverify.core.encoding.canon import decode, sha256
from p2pverify.core.records.envelope import Kind, Record

QUESTION = Ask((1, 4093, 198), 24, 800, bytes(range(32)))
PATHS = tuple(
    GoldenPath("apache-2.0/1", path, (GoldenAnswer(sha256(path.encode()), sha256(b"logits of " + path.encode())),))
    for path in ("avx2", "avx512")
)
CALIBRATION = Calibration("exact/1", "integer", "apache-2.0/1", "avx2", 400, 25_600, ACROSS, 7_500)
CANARY = Canary(sha256(b"salted prompt"), 16, (CanaryAnswer("apache-2.0/1", "avx2", sha256(b"salted answer")),))


def manifest_record() -> Record:
    """A manifest with all measurements of a model, in a network that lists it."""
    full = _measured(MANIFEST)
    return record(ALICE, Kind.MANIFEST, full.encode(), epoch=9, seq=2, network=_network_of(full).id)


def cases() -> dict[Path, list[Case]]:
    return {Path("manifest"): manifests()}


def manifests() -> list[Case]:
    value = MANIFEST
    said_first = record(ALICE, Kind.MANIFEST, value.encode(), epoch=9, seq=2)
    plain = [*_manifest_value(value)]
    bad: list[tuple[str, object, str]] = [
        ("another domain", changed(plain, 0, "p2pverify/network/1"), "not a manifest"),
        ("eleven items", plain[:11], "manifest: not 12 items"),
        ("a model name of 129 bytes", changed(plain, 1, "x" * 129), "model: longer than 128 bytes"),
        ("a weights digest of 20 bytes", changed(plain, 2, bytes(20)), "weights: not 32 bytes"),
        ("a licence that is a byte string", changed(plain, 6, b"MIT"), "licence: not text"),
        ("a parent that is text", changed(plain, 8, "x"), "parent: not a byte string"),
        *_bad_measurements(plain),
    ]
    other = replace(value, parent=value.digest)
    full = _measured(value)
    cases = [
        judged(
            "with golden vectors, a calibration and a canary, in a network that lists it",
            manifest_record().data,
            network=_network_of(full),
        ),
        judged("without any of these, by a founder", said_first.data),
        judged("by a peer that is no founder", record(DAVE, Kind.MANIFEST, value.encode()).data),
        judged(
            "a version with a parent, in a network that lists it",
            record(ALICE, Kind.MANIFEST, other.encode(), network=_network_of(other).id).data,
            network=_network_of(other),
        ),
        ignore(
            "a model that the network does not list",
            record(ALICE, Kind.MANIFEST, other.encode()),
            "manifest is not in the network file",
        ),
        reject(
            "49,153 bytes",
            record(ALICE, Kind.MANIFEST, bytes(49_153)),
            "malformed manifest: too long",
        ),
        reject("signature of another message", forged(said_first), "bad signature"),
    ]
    return cases + [
        reject(comment, said(ALICE, Kind.MANIFEST, wrong), f"malformed manifest: {reason}")
        for comment, wrong, reason in bad
    ]


def _measured(plain: Manifest) -> Manifest:
    return replace(plain, golden=Golden((QUESTION,), PATHS), calibrations=(CALIBRATION,), canaries=(CANARY,))


def _bad_measurements(plain: list[object]) -> list[tuple[str, object, str]]:
    """Faults in golden vectors (item 9), calibrations (10) and canaries (11)."""
    question, (first, second) = QUESTION.to_value(), [path.to_value() for path in PATHS]
    calibration, canary = CALIBRATION.to_value(), cast("list[Any]", CANARY.to_value())
    golden = [
        ("golden paths out of order", [[question], [second, first]], "golden paths are not sorted and distinct"),
        ("a golden path twice", [[question], [first, first]], "golden paths are not sorted and distinct"),
        ("an answer too few", [[question], [changed(first, 2, [])]], "a golden path does not answer every question"),
        ("answers without questions", [[], [changed(first, 2, [])]], "golden paths without questions prove nothing"),
        ("a golden question without prompt", [[changed(question, 0, [])], []], "a golden question asks for nothing"),
        ("nine golden questions", [[question] * 9, []], "golden questions: more than 8 items"),
        ("a sampler key of 16 bytes", [[changed(question, 3, bytes(16))], []], "sampler key: not 32 bytes"),
    ]
    calibrations = [
        ("the same pair twice", [calibration] * 2, "calibrations are not sorted and distinct"),
        ("a calibration without thresholds", [changed(calibration, 6, None)], "a calibration has no thresholds"),
        ("an alarm rate above one", [changed(calibration, 7, 1_000_001)], "alarm_ppm: above 1000000"),
    ]
    canaries = [
        ("a canary twice", [canary] * 2, "canaries are not sorted and distinct"),
        ("a path twice", [changed(canary, 2, canary[2] * 2)], "a canary's answers are not sorted and distinct"),
        ("a canary with a short commitment", [changed(canary, 0, bytes(31))], "canary prompt: not 32 bytes"),
    ]
    return [
        (comment, changed(plain, item, wrong), reason)
        for item, found in ((9, golden), (10, calibrations), (11, canaries))
        for comment, wrong, reason in found
    ]


def _manifest_value(manifest: Manifest) -> list[object]:
    value = decode(manifest.encode(), size_max=MANIFEST_BYTES_MAX)
    assert isinstance(value, list)
    return [*value]


def _network_of(manifest: Manifest) -> Network:
    cls = replace(NETWORK.classes[0], manifest=manifest.digest)
    return replace(NETWORK, manifests=(manifest.digest,), classes=(cls,))
