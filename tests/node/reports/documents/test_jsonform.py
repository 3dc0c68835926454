"""Documents in JSON: what is written can be read, and other JSON is refused."""

import json
from dataclasses import dataclass, replace

import pytest

from p2pverify.node.reports.documents.audits import AuditsDocument
from p2pverify.node.reports.documents.explained import ExplainedAudit
from p2pverify.node.reports.documents.health import Live
from p2pverify.node.reports.documents.jsonform import DocumentError, parse, read_part, written
from p2pverify.node.reports.documents.scores import ScoresDocument, SpeedDocument
from p2pverify.node.reports.documents.shape import ApiDocument
from p2pverify.node.reports.documents.status import StatusDocument
from tests.support.documents import AUDITS, EXPLAINED, ROW, SCORES, STATUS

SPEED = SpeedDocument(claim="x", fit="too few", challengers=1, token_ms=1.5, first_token_ms=None, tokens_per_s=None)
FAST = replace(SCORES, scores=(replace(ROW, hardware=SPEED),))


@pytest.mark.parametrize("document", [STATUS, SCORES, FAST, AUDITS, EXPLAINED], ids=lambda each: type(each).__name__)
def test_what_is_written_is_read(document: ApiDocument) -> None:
    """Parts, arrays, nulls and renamed keys survive. The schema is the first key."""
    values = written(document)
    assert next(iter(values)) == "schema"
    assert parse(type(document), json.dumps(values)) == document


def test_keys_keep_their_order() -> None:
    """A derived document has its own place for keys that another one brings."""
    assert list(written(EXPLAINED))[:3] == ["schema", "id", "challenger"]
    assert next(iter(written(AUDITS.disputes[0]))) == "id"
    assert list(written(ROW))[:3] == ["peer_id", "class", "standing"]


def test_unknown_keys_are_ignored() -> None:
    """A newer node may send more, also inside of parts."""
    values = {**written(STATUS), "newer": [1], "jobs": {**written(STATUS.jobs), "jobs_newer": 1}}
    assert parse(StatusDocument, json.dumps(values)) == STATUS


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A part to which a newer version added a key."""

    old: int
    new: bool = True


def test_a_key_with_a_default_may_be_missing() -> None:
    """An older node does not send it. If it is there, it is checked."""
    assert read_part(Grown, {"old": 1}) == Grown(old=1)
    assert read_part(Grown, {"old": 1, "new": False}) == Grown(old=1, new=False)
    for value in ({"new": True}, {"old": 1, "new": 0}):
        with pytest.raises(DocumentError):
            read_part(Grown, value)


def test_a_whole_number_is_a_rate() -> None:
    """Other writers of JSON drop the zero after the point."""
    assert parse(ScoresDocument, json.dumps(written(SCORES)).replace("1.0", "1")) == SCORES


@pytest.mark.parametrize(
    ("kind", "document", "changes"),
    [
        (Live, None, {"schema": "p2pverify/live/1"}),
        (Live, None, {"schema": "p2pverify/live/2", "live": True}),
        (Live, None, {"schema": "p2pverify/live/1", "live": 1}),
        (StatusDocument, STATUS, {"uptime_s": -1}),
        (StatusDocument, STATUS, {"uptime_s": True}),
        (StatusDocument, STATUS, {"uptime_s": 1.0}),
        (StatusDocument, STATUS, {"uptime_s": None}),
        (StatusDocument, STATUS, {"epoch_s": float("nan")}),
        (StatusDocument, STATUS, {"epoch_s": "1"}),
        (StatusDocument, STATUS, {"weight": 2}),
        (StatusDocument, STATUS, {"standing": "perfect"}),
        (StatusDocument, STATUS, {"standing": ["trusted"]}),
        (StatusDocument, STATUS, {"own": {}}),
        (StatusDocument, STATUS, {"reasons": "alone"}),
        (StatusDocument, STATUS, {"reasons": [1]}),
        (StatusDocument, STATUS, {"jobs": []}),
        (ScoresDocument, SCORES, {"scores": [{**written(ROW), "low": 1.5}]}),
        (ScoresDocument, SCORES, {"scores": [{**written(ROW), "low": float("inf")}]}),
        (ScoresDocument, SCORES, {"scores": None}),
        (AuditsDocument, AUDITS, {"schema": "p2pverify/audit/1"}),
        (ExplainedAudit, EXPLAINED, {"dispute": {"status": "open"}}),
    ],
)
def test_other_values_are_refused(
    kind: type[ApiDocument], document: ApiDocument | None, changes: dict[str, object]
) -> None:
    """A missing key, another type, a number out of its bounds and an unknown word are errors."""
    values = {} if document is None else written(document)
    with pytest.raises(DocumentError):
        parse(kind, json.dumps({**values, **changes}))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'"x"', b"[" * 100_000, b"\xff", b"1" * 5000])
def test_text_of_another_kind_is_refused(text: bytes) -> None:
    """Any bytes give a document or a DocumentError."""
    with pytest.raises(DocumentError):
        parse(Live, text)
