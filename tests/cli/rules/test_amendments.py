"""`network propose|approve|accept|show --rules`: what reaches the node, and what people read."""

import json
from dataclasses import replace
from pathlib import Path

from p2pverify.core.contract.network import PARAM_BOUNDS
from p2pverify.core.contract.rules.changes import ClassChange, ManifestChange, ParamChange, RefereeChange, RetireChange
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.payloads.amendment import Approval, Word, decode_amendment, decode_approval
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.data.documents import SignedDocument, SignedKind
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, new_network
from p2pverify.node.rules.accepted import ACCEPTED_MAX, keep_accepted, read_accepted, read_following
from p2pverify.node.rules.documents import AcceptDocument
from tests.cli.fake_api import body, fake_api
from tests.cli.transcript import run
from tests.support.documents import RULES_IN_FORCE, STATUS
from tests.support.networks import seeds

RECORD = "ab" * 32
INDEX = {name: index for index, (name, _, _) in enumerate(PARAM_BOUNDS)}


def answers(kind: SignedKind) -> dict[str, tuple[int, bytes]]:
    signed = SignedDocument(schema="p2pverify/signed/1", kind=kind, record=RECORD, reason=None)
    return {
        "/v1/rules": body(RULES_IN_FORCE),
        "/v1/status": body(STATUS),
        f"/v1/sign?kind={kind}": body(signed, 202),
    }


def test_a_proposal_names_the_rules_in_force(home: Home, tmp_path: Path) -> None:
    network, manifests = new_network("other", (sign.public_key(seeds(1)[0]),), ToyEngine().info, genesis_ms=1)
    other = tmp_path / "other.toml"
    renamed = replace(network, classes=(replace(network.classes[0], name="newer"),), founders=network.founders)
    other.write_text(dump_network(renamed, manifests))
    reasons = tmp_path / "why.txt"
    reasons.write_bytes(b"more audits")
    with fake_api(home, answers("amendment")) as api:
        options = ["--set", "slots_milli=3000", "--set", "panel-size=2", "--class", str(other), "--retire", "1"]
        options += ["--referee", "x/1", "--feature", "7", "--text", str(reasons), "--in", "50"]
        done = run(home.path, "network", "propose", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"amendment {RECORD}" in done.stdout
        made = decode_amendment(api.posted[-1])
    kind = renamed.classes[0]
    assert made.changes == (
        ParamChange(INDEX["slots_milli"], 3_000),
        ParamChange(INDEX["panel_size"], 2),
        ManifestChange(kind.manifest),
        ClassChange(kind),
        RetireChange(1),
        RefereeChange("x/1"),
    )
    assert (made.rules.hex(), made.features, made.text) == (RULES_IN_FORCE.root, 1 << 7, sha256(b"more audits"))
    assert made.activation == max(STATUS.epoch, RULES_IN_FORCE.epoch) + 50
    for wrong in (["--set", "slots=1"], ["--set", "slots_milli=x"], [], ["--retire", "32"]):
        assert run(home.path, "network", "propose", *wrong, cwd=tmp_path).returncode in (2, 3)


def test_an_approval_and_its_withdrawal(home: Home, tmp_path: Path) -> None:
    with fake_api(home, answers("approval")) as api:
        for more, word in (((), Word.YES), (("--withdraw",), Word.NO)):
            done = run(home.path, "network", "approve", "ABABAB", *more, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert decode_approval(api.posted[-1]) == Approval(bytes.fromhex(RULES_IN_FORCE.amendments[0].id), word)
        assert run(home.path, "network", "approve", "cdcdcd", cwd=tmp_path).returncode == 1
        refused = replace(RULES_IN_FORCE.amendments[0], refused="panel_size is outside its bounds, 1 to 31")
        api.bodies["/v1/rules"] = body(replace(RULES_IN_FORCE, amendments=(refused,)))
        done = run(home.path, "network", "approve", "ababab", cwd=tmp_path)
        assert (done.returncode, "outside its bounds" in done.stderr) == (1, True)


def test_an_acceptance_reaches_the_node(home: Home, tmp_path: Path) -> None:
    named = RULES_IN_FORCE.amendments[0].id
    said = AcceptDocument(schema="p2pverify/accept/1", amendment=named, accepted=True, reason=None)
    found = {"/v1/rules": body(RULES_IN_FORCE), f"/v1/accept?id={named}": body(said, 202)}
    with fake_api(home, found) as api:
        assert run(home.path, "network", "accept", named[:16], cwd=tmp_path).returncode == 0
        refused = replace(said, accepted=False, reason="no such amendment is open")
        api.bodies[f"/v1/accept?id={named}"] = body(refused, 202)
        assert run(home.path, "network", "accept", named[:16], cwd=tmp_path).returncode == 4


def test_the_rules_are_shown_in_columns(home: Home, tmp_path: Path) -> None:
    with fake_api(home, {"/v1/rules": body(RULES_IN_FORCE)}):
        done = run(home.path, "network", "show", "--rules", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len({line.index(value) for line in lines for value in ("2000", "   3") if line.endswith(value)}) <= 2
        assert any(line.split() == ["slots_milli", "2000"] for line in lines)
        assert any(line.split()[:2] == ["takes", "effect"] and "in epoch 20" in line for line in lines)
        assert any("without 'p2pverify network accept abababababababab'" in line for line in lines)
        shown = run(home.path, "network", "show", "--rules", "--json", cwd=tmp_path)
        assert json.loads(shown.stdout)["root"] == RULES_IN_FORCE.root
    assert run(home.path, "network", "show", cwd=tmp_path).returncode == 2


def test_a_home_remembers_what_its_operator_accepted(tmp_path: Path) -> None:
    ids = [sha256(b"%d" % number) for number in range(ACCEPTED_MAX + 2)]
    assert read_accepted(tmp_path) == ()
    for each in [*ids, ids[-1]]:
        keep_accepted(tmp_path, each)
    assert read_accepted(tmp_path) == tuple(ids[2:])
    following = read_following(tmp_path, asks=True, known=5)
    assert (following.known, following.asks, following.accepted) == (5, True, set(ids[2:]))
