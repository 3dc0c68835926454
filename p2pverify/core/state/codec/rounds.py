"""The forms of training rounds."""

from p2pverify.core.records.payloads.rounds.place import ROUND_NUMBER_MAX
from p2pverify.core.records.payloads.rounds.seal import Trained
from p2pverify.core.state.codec.forms import (
    BOOL,
    ID,
    IDS,
    INTEGER,
    SINCE,
    UINT,
    Form,
    choice,
    mapping,
    maybe,
    pair,
    plain,
    record,
    sequence,
    uint,
)
from p2pverify.core.state.codec.lines import VERSION
from p2pverify.core.state.codec.rows import SEQ
from p2pverify.core.state.codec.verdicts import OPENED, ROUND, SEALED, STAGE
from p2pverify.core.state.rounds.notes import (
    ClosedRound,
    ContributionNote,
    LineRounds,
    LossNote,
    OpenedUpdate,
    OpenRound,
    PastUse,
    RepeatableRound,
    ResultVote,
    RoundReplay,
    SealedUpdate,
    TrainingPhase,
)
from p2pverify.core.training.losses import LOSS_MICRONATS_MAX
from p2pverify.core.training.result import ResultRow, RoundResult, read_result, read_result_row

NUMBER = uint(ROUND_NUMBER_MAX)
TRAINED: Form[Trained] = record(Trained, update=ID, steps=maybe(ID), rows=UINT)
SEALED_UPDATE: Form[SealedUpdate] = record(SealedUpdate, commit=ID, seq=SEQ, dataset=ID, late=UINT)
OPENED_UPDATE: Form[OpenedUpdate] = record(
    OpenedUpdate,
    trained=TRAINED,
    shown=ID,
    shown_bytes=UINT,
    root=ID,
    rows=UINT,
    seed=ID,
    held=UINT,
    position=UINT,
    erased=UINT,
)
LOSS_NOTE: Form[LossNote] = record(LossNote, commit=ID, losses=sequence(uint(LOSS_MICRONATS_MAX)))
PAST_USE: Form[PastUse] = record(PastUse, dataset=ID, position=UINT)
REPEATABLE_ROUND: Form[RepeatableRound] = record(
    RepeatableRound,
    number=NUMBER,
    beacon=ID,
    drawn=ID,
    base=VERSION,
    outcome=VERSION,
    uses=mapping(ID, PAST_USE, plain),
    left_out=IDS,
    is_erased=BOOL,
)
REPLAY: Form[RoundReplay] = record(
    RoundReplay,
    todo=sequence(REPEATABLE_ROUND),
    moved=mapping(VERSION, VERSION, plain),
    began=UINT,
    rests_until=UINT,
)
RESULT: Form[RoundResult] = Form(lambda result: result.to_value(), read_result)
RESULT_ROW: Form[ResultRow] = Form(lambda row: row.to_value(), read_result_row)
RESULT_VOTE: Form[ResultVote] = record(
    ResultVote,
    electorate=IDS,
    opened_index=UINT,
    round=ROUND,
    closed_index=SINCE,
    commits=mapping(ID, SEALED, plain),
    votes=mapping(ID, OPENED, plain),
    decision=maybe(ID),
    decided_index=SINCE,
    shown=mapping(STAGE, ID, plain),
    heard=IDS,
    results=mapping(ID, RESULT, plain),
)
OPEN_ROUND: Form[OpenRound] = record(
    OpenRound,
    number=NUMBER,
    base=VERSION,
    manifest=ID,
    opened_index=UINT,
    opened_epoch=UINT,
    beacon=ID,
    expected=IDS,
    phase=choice(TrainingPhase),
    closed_index=SINCE,
    drawn=ID,
    seals=mapping(ID, SEALED_UPDATE, plain),
    updates=mapping(ID, OPENED_UPDATE, plain),
    vote=maybe(RESULT_VOTE),
    vote_epoch=SINCE,
    repeats=maybe(REPEATABLE_ROUND),
    losses=mapping(ID, LOSS_NOTE, plain),
    reported_index=SINCE,
)
CONTRIBUTION: Form[ContributionNote] = record(ContributionNote, row=RESULT_ROW, rows=UINT, late=UINT, dataset=ID)
CLOSED_ROUND: Form[ClosedRound] = record(
    ClosedRound,
    number=NUMBER,
    base=VERSION,
    version=SINCE,
    epoch=UINT,
    gain=INTEGER,
    contributions=sequence(CONTRIBUTION),
    voters=pair(UINT, UINT),
    repeats=UINT,
)
LINE_ROUNDS: Form[LineRounds] = record(
    LineRounds,
    newest=NUMBER,
    decided=NUMBER,
    open=maybe(OPEN_ROUND),
    marks=mapping(ID, UINT, plain),
    quarantined=mapping(ID, UINT, plain),
    closed=sequence(CLOSED_ROUND),
    past=sequence(REPEATABLE_ROUND),
    replay=REPLAY,
)
