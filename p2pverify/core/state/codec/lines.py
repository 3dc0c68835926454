"""The forms of lines, of their versions, and of what members serve."""

from p2pverify.core.contract.classes import across_value, read_across
from p2pverify.core.contract.history.lines import LINES_MAX, Publishers, read_publishers
from p2pverify.core.contract.history.release import RELEASE_NUMBER_MAX
from p2pverify.core.records.payloads.lines.recall import Reason
from p2pverify.core.state.codec.forms import (
    ID,
    IDS,
    SINCE,
    UINT,
    Form,
    choice,
    mapping,
    pair,
    plain,
    record,
    sequence,
    uint,
)
from p2pverify.core.state.lines.notes import LineNotes, ServedVersion, Version

LINE = uint(LINES_MAX - 1)
#: The number of a version.
VERSION = uint(RELEASE_NUMBER_MAX)
PUBLISHERS: Form[Publishers] = Form(lambda publishers: publishers.to_value(), read_publishers)
NOTED_VERSION: Form[Version] = record(
    Version,
    number=VERSION,
    manifest=ID,
    record=ID,
    statement=ID,
    signers=IDS,
    parents=sequence(ID),
    announced_epoch=UINT,
    bounds=sequence(Form(across_value, read_across)),
    recalled_epoch=SINCE,
    reason=choice(Reason),
    fed=IDS,
    erased_epoch=SINCE,
)
LINE_NOTES: Form[LineNotes] = record(
    LineNotes,
    publishers=PUBLISHERS,
    versions=sequence(NOTED_VERSION),
    newest=VERSION,
    rotations=VERSION,
    struck=IDS,
    votes=mapping(pair(VERSION, VERSION), IDS, plain),
)
SERVED: Form[ServedVersion] = record(ServedVersion, number=VERSION, left=VERSION)
