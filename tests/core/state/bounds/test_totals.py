"""The names of a view's counters are texts of the code. No stranger's input is in them, so their number is bounded."""

import ast
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import p2pverify.core.state as package
from p2pverify.core.blind import refusals
from p2pverify.core.blind.committees import COMMITTEES
from p2pverify.core.settle import rules
from p2pverify.core.state import memory, sponsors
from p2pverify.core.state.history import datasets
from p2pverify.core.state.keys import take as keys
from p2pverify.core.state.lines import take
from p2pverify.core.state.rounds import report as losses
from p2pverify.core.state.rounds import take as rounds
from p2pverify.core.state.rules import take as amending
from p2pverify.core.state.settle import take as settling
from p2pverify.core.state.verdicts import disputes, duties, objections, reports, results

PLAIN = {
    "abstained",
    "amendments",
    "amendments in force",
    "amendments that did not hold",
    "appeals",
    "audits",
    "datasets",
    "decided disputes",
    "decided rounds",
    "disputes",
    "erasures",
    "forks",
    "handovers",
    "inconclusive answers",
    "join: author waits for the row of another key",
    "cheques",
    "disputes about reports",
    "lapsed disputes",
    "lapsed reports",
    "objections",
    "objections to handovers",
    "payments",
    "pledges",
    "publishers struck",
    "recalls",
    "records",
    "records of a key after its handover",
    "rekeys",
    "releases",
    "releases with two bodies",
    "replays",
    "reports",
    "reports without a question",
    "rotations",
    "rounds not repeated",
    "rows handed over",
    "statements",
    "undecided disputes",
}
#: The functions that give the reason behind each prefix, and those that these functions ask.
REASONS: dict[str, tuple[Callable[..., str | None], ...]] = {
    "amendment": (amending.refuse_amendment,),
    "approval": (amending.refuse_approval,),
    "commit": (disputes.refuse_commit, disputes.refuse_lot, refusals.refuse_seal, refusals.refuse_ticket),
    "cheque": (settling.refuse_cheque, rules.refuse_credit),
    "dataset": (datasets.refuse_dataset,),
    "duty": (duties.refuse_duty, duties.refuse_period),
    "erasure": (datasets.refuse_erasure,),
    "handover": (keys.refuse_handover, keys._refuse_head),
    "join": (amending.refuse_class,),
    "object": (keys.refuse_object,),
    "rekey": (keys.refuse_rekey,),
    "objection": (objections.refuse_objection, results.refuse_certificate, results.refuse_result),
    "payment": (settling.refuse_payment,),
    "pledge": (settling.refuse_pledge, rules.refuse_offer),
    "recall": (take.refuse_recall, take.refuse_author),
    "release": (take.refuse_author, take.refuse_number, take.refuse_manifest),
    "loss report": (losses.refuse_loss_report,),
    "loss seal": (losses.refuse_loss_seal,),
    "report": (reports.refuse_report,),
    "round": (take.refuse_manifest,),
    "round commit": (rounds.refuse_round_commit, refusals.refuse_seal),
    "round vote": (rounds.refuse_round_vote, refusals.refuse_opening),
    "rotation": (take.refuse_author, take.refuse_rotation),
    "serve": (take.refuse_serve, take.refuse_author),
    "sponsor": (sponsors.refuse,),
    "statement": (datasets.refuse_statement,),
    "update": (rounds.refuse_update, rounds.refuse_data),
    "update seal": (rounds.refuse_update_seal, rounds.refuse_data),
    "void audit": (duties.refuse_audit, memory.refuse_audit, duties.find_fault, duties.find_fault_across),
    "void round": (),
    "vote": (
        disputes.refuse_vote,
        disputes.refuse_answer,
        refusals.refuse_opening,
        results.refuse_certificate,
        results.refuse_result,
    ),
}
#: All names with a prefix.
NAMES = {
    "amendment: author has an open one",
    "amendment: author has no weight",
    "amendment: it has expired",
    "amendment: it is about other rules",
    "amendment: its changes are not allowed",
    "amendment: too many are open",
    "approval: author has no weight",
    "approval: no such amendment is open",
    "cheque: a greater one is known",
    "cheque: author has no weight",
    "cheque: author has too many series",
    "cheque: its series ends too late",
    "cheque: its series is over",
    "commit: a lot where everybody votes",
    "commit: after the sealing was closed",
    "commit: certificate does not hold the dispute",
    "commit: certificate is not one here",
    "commit: lot by another key",
    "commit: lot for another committee",
    "commit: lot of a party to the dispute",
    "commit: lot was not drawn",
    "commit: no lot where a committee votes",
    "commit: not of the electorate",
    "dataset: author has too many",
    "dataset: author is no active member",
    "dataset: it is live already",
    "dataset: it is over",
    "duty: anchor has no certificate here",
    "duty: anchor is not of the epochs before",
    "duty: author is not an active member",
    "duty: beacon is not the anchor's",
    "duty: class changed since the anchor",
    "duty: covers an epoch of another duty",
    "duty: key was not a member's at the anchor",
    "duty: revealed before its period ended",
    "duty: too late",
    "erasure: it leaves as many rows as there were",
    "erasure: it leaves the root as it was",
    "erasure: no live data set of the author",
    "join: class is retired",
    "join: no such class",
    "handover: author is not the next key",
    "handover: author is or was a member",
    "handover: author takes over another row",
    "handover: head is not in the newest cuts",
    "handover: it is under way",
    "handover: old key is no member, or convicted",
    "handover: old key objected, and did not sign",
    "handover: old key was handed over lately",
    "object: author has objected before",
    "object: author signed the handover",
    "object: no such handover",
    "objection: another class",
    "objection: author has no seat",
    "objection: author has no weight",
    "objection: author is of another class",
    "objection: certificate is before the sealing was closed",
    "objection: certificate is not one here",
    "objection: measures do not fit the receipts",
    "objection: measures in a dispute within a class",
    "objection: measures of what cannot be derived",
    "objection: not the digest of its measures",
    "payment: more than is owed",
    "pledge: author has no weight",
    "pledge: author has one for the line",
    "pledge: line has too many",
    "pledge: more than author may owe",
    "recall: author has no weight",
    "recall: author is no active member",
    "recall: no such version",
    "recall: no version to go back to",
    "recall: the version is recalled",
    "recall: too few publishers signed",
    "rekey: author changed its key lately",
    "rekey: author is no active member",
    "release: author is no active member",
    "release: not the next number",
    "release: the manifest is that of another version",
    "release: the number is taken",
    "release: too few publishers signed",
    "report: answers of two classes",
    "report: author has no weight",
    "report: responder is no member",
    "report: too late",
    "rotation: author is no active member",
    "rotation: not the next number",
    "rotation: too few publishers signed",
    "round commit: after the sealing was closed",
    "round commit: certificate does not open the vote",
    "round commit: not of the electorate",
    "round vote: another closing cut",
    "round vote: certificate does not hold the commit",
    "round vote: certificate gives it no turn",
    "round vote: certificate is before the sealing was closed",
    "round vote: does not open the commit",
    "round vote: no commit was counted",
    "round vote: rows are not those of the round",
    "round vote: shows no work",
    "round vote: shows work without need",
    "round: the manifest is that of another version",
    "serve: author is no active member",
    "serve: no version of its line",
    "serve: the member serves it",
    "serve: the model of its class has no line",
    "serve: the version is not current yet",
    "serve: the version is recalled",
    "serve: the version is retired",
    "sponsor: author has no weight",
    "sponsor: author has sponsored another peer lately",
    "sponsor: it has sponsors",
    "sponsor: no newcomer",
    "sponsor: sponsors vouched for each other",
    "statement: author is no active member",
    "loss report: another number of losses",
    "loss report: certificate is before the sealing of losses was closed",
    "loss report: does not open the loss seal",
    "loss report: no loss seal was counted",
    "loss report: not while losses are opened",
    "loss seal: author has no update in the round",
    "loss seal: certificate is before the updates were open",
    "loss seal: not while losses are sealed",
    "update seal: after the sealing was closed",
    "update seal: another base",
    "update seal: another data set than in the round that is repeated",
    "update seal: author does not contribute to the round",
    "update seal: certificate does not hold the round",
    "update seal: data set is not offered for the rule",
    "update seal: held-out rows are used up",
    "update seal: no data set of the author",
    "update seal: privacy budget is used up",
    "update: certificate is before the sealing was closed",
    "update: data set is no longer offered",
    "update: data set is not offered for the rule",
    "update: does not open the seal",
    "update: held-out rows are used up",
    "update: more rows than the data set has for training",
    "update: no seal was counted",
    "update: not while updates are opened",
    "update: privacy budget is used up",
    "update: steps do not fit the mode",
    "void audit: asked others than the drawn targets",
    "void audit: audit and duty cite different cuts",
    "void audit: called a mismatch a match",
    "void audit: called different answers equal",
    "void audit: forged opening",
    "void audit: measures are not those that were sealed",
    "void audit: measures do not fit the receipts",
    "void audit: measures in a slot within a class",
    "void audit: receipt of another class",
    "void audit: sealed as the slot is not",
    "void audit: slot not owed",
    "void round: no decision",
    "void round: the base was recalled",
    "void round: too few losses opened",
    "void round: too few losses sealed",
    "void round: too few updates opened",
    "void round: too few updates sealed",
    "vote: a reporter has no vote",
    "vote: another class",
    "vote: certificate does not hold the commit",
    "vote: certificate gives it no turn",
    "vote: certificate is before the sealing was closed",
    "vote: certificate is not one here",
    "vote: does not open the commit",
    "vote: forged opening",
    "vote: measures do not fit the receipts",
    "vote: measures in a dispute within a class",
    "vote: measures of what cannot be derived",
    "vote: no commit was counted",
    "vote: not the digest of its measures",
    "vote: shows no work",
    "vote: shows work without need",
}
#: Variables that hold a reason of these functions.
HELD = {"refused", "fault", "reason"}


def trees() -> Iterator[ast.Module]:
    for path in Path(package.__file__).parent.rglob("*.py"):
        yield ast.parse(path.read_text(encoding="utf-8"))


def calls(name: str) -> Iterator[ast.Call]:
    """The calls of a function or method in all modules of the state."""
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and name in (getattr(node.func, "attr", ""), getattr(node.func, "id", "")):
                yield node


def texts(node: ast.expr | None) -> Iterator[str]:
    """The texts that an expression can be. A call or a variable must be one that gives such texts itself."""
    asked = {each.__name__ for each in sum(REASONS.values(), ())}
    match node:
        case None | ast.Constant(value=None):
            return
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from texts(one)
            yield from texts(other)
        case ast.Name(id=name):
            assert name in HELD, name
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            assert name in asked | {"_fault"}, name
        case _:
            raise AssertionError(ast.dump(node))


def returned(function: Callable[..., str | None]) -> set[str]:
    tree = ast.parse(inspect.getsource(function))
    return {text for node in ast.walk(tree) if isinstance(node, ast.Return) for text in texts(node.value)}


def test_every_counter_has_a_fixed_name_or_a_prefix_with_a_fixed_reason() -> None:
    plain, prefixes = set(), set()
    for call in calls("count"):
        match call.args:
            case [ast.Constant(value=str(text))]:
                plain.add(text)
            case [ast.JoinedStr(values=[ast.Constant(value=str(text)), ast.FormattedValue(value=ast.Name(id=name))])]:
                assert name in HELD
                prefixes.add(text.removesuffix(": "))
            case [ast.JoinedStr(values=[ast.Constant(value=text), ast.FormattedValue(value=value), ast.Constant()])]:
                assert (text, ast.unparse(value)) == ("committees of stage ", "dispute.round.stage")
            case _:
                raise AssertionError(ast.unparse(call))
    assert plain == PLAIN
    assert prefixes == set(REASONS)
    assert len(COMMITTEES) == 2  # the stages that can end without a decision


def test_reasons_are_texts_of_the_code() -> None:
    found = {f"{prefix}: {text}" for prefix, of in REASONS.items() for each in of for text in returned(each)}
    found |= {f"void audit: {text}" for call in calls("void") for text in texts(call.args[2])}
    found |= {f"void round: {text}" for call in calls("_void") for text in texts(call.args[3])}
    assert found == NAMES
