"""Every vector of gossip: frames, names, scores and their effects, run like another implementation."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.errors import DecodeError
from p2pverify.core.gossip.params import GossipParams, ScoreParams
from p2pverify.core.gossip.score import ScoreParts
from p2pverify.core.gossip.types import Appraise, GossipMessage, PublishMessage, Rpc, message_id, records_topic
from p2pverify.net.protocols.rpc_codec import decode_rpc, encode_rpc
from tests.support.router import ALICE, BOB, TOPIC, Bench
from tests.support.score_trace import run_trace

PROTOCOL = Path(__file__).parents[2] / "protocol"
VECTORS = PROTOCOL / "vectors"


def _load(path: str) -> list[Any]:
    cases = json.loads((VECTORS / path).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["comment"]) for case in cases]


def _bytes(texts: list[str]) -> tuple[bytes, ...]:
    return tuple(map(bytes.fromhex, texts))


def _rpc(means: dict[str, Any]) -> Rpc:
    """The RPC that a vector describes."""
    return Rpc(
        subscriptions=tuple((subscribe, topic) for subscribe, topic in means["subscriptions"]),
        publish=tuple(
            GossipMessage(each["topic"], bytes.fromhex(each["data"]), each["forbidden_fields"])
            for each in means["publish"]
        ),
        ihave=tuple((topic, _bytes(ids)) for topic, ids in means["ihave"]),
        iwant=_bytes(means["iwant"]),
        graft=tuple(means["graft"]),
        prune=tuple((topic, backoff) for topic, backoff in means["prune"]),
        idontwant=_bytes(means["idontwant"]),
    )


@pytest.mark.parametrize("case", _load("gossip-frame/valid.json"))
def test_frames(case: dict[str, Any]) -> None:
    """Each frame is decoded as the vector says. It is encoded to the same bytes if the vector says so."""
    data, means = bytes.fromhex(case["input"]["rpc"]), _rpc(case["expect"])
    assert decode_rpc(data) == means
    if case["input"]["written"]:
        assert encode_rpc(means) == data


@pytest.mark.parametrize("case", _load("gossip-frame/invalid.json"))
def test_malformed_frames(case: dict[str, Any]) -> None:
    """Each of these is refused as a frame. The text of the reason is not binding."""
    assert (case["expect"], bool(case["reason"])) == ("malformed", True)
    with pytest.raises(DecodeError):
        decode_rpc(bytes.fromhex(case["input"]["rpc"]) * case["input"]["times"])


def test_frames_of_both_kinds() -> None:
    """About half of the frames are malformed."""
    valid, invalid = (len(_load(f"gossip-frame/{name}.json")) for name in ("valid", "invalid"))
    assert min(valid, invalid) > 15


@pytest.mark.parametrize("case", _load("gossip/names.json"))
def test_names(case: dict[str, Any]) -> None:
    """Networks give topics, and data message ids."""
    given = case["input"]
    if "network" in given:
        assert records_topic(bytes.fromhex(given["network"])) == case["expect"]
    else:
        data = given["data"]
        content = bytes(data["zeros"]) if isinstance(data, dict) else bytes.fromhex(data)
        assert message_id(content).hex() == case["expect"]


@pytest.mark.parametrize("case", _load("gossip/scores.json"))
def test_scores(case: dict[str, Any]) -> None:
    """Each list of events gives these scores and parts."""
    assert run_trace(case["input"]["params"], case["input"]["events"]) == case["expect"]


@pytest.mark.parametrize("case", _load("gossip/thresholds.json"))
def test_thresholds(case: dict[str, Any]) -> None:
    """A neighbour with this score is or is not in the mesh, gossiped to, published to, read and connected."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench(Appraise(ALICE, case["input"]["score"]))
    found = {"connected": bench.ended() == []}
    found["heard"] = bool(bench.message(ALICE, b"m"))
    bench(PublishMessage(TOPIC, b"mine"))
    found["publish"] = bench.data_sent(ALICE) == [b"mine"]
    bench.rpc(ALICE, iwant=(message_id(b"mine"),))
    found["gossip"] = bench.data_sent(ALICE) == [b"mine"]
    bench.beat()
    found["mesh"] = ALICE in bench.mesh
    assert found == case["expect"]


def _rows() -> dict[str, str]:
    """The rows of the page's tables with a name in `code` in the first column and a value in the second."""
    page = (PROTOCOL / "gossip.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("`"): row[1].replace(",", "") for row in rows}


def test_parameters_stand_on_the_page() -> None:
    """The page has every parameter of the score, with its value."""
    rows, params = _rows(), ScoreParams()
    for name in ScoreParams.__slots__:
        value = getattr(params, name)
        shown = " ".join(value) if isinstance(value, tuple) else str(value)
        assert rows.get(name) == shown, name


def test_limits_stand_on_the_page() -> None:
    """The page has the parameters of the mesh and of lazy gossip, with their values."""
    rows, params = _rows(), GossipParams()
    local = {"batch_ms", "batch_at_rest", "rpc_messages_max", "flood_publish", "score"}
    for name in set(GossipParams.__slots__) - local:
        assert rows.get(name) == str(getattr(params, name)), name


def test_score_parts_are_named_alike() -> None:
    """The parts in the vectors have the router's names."""
    for param in _load("gossip/scores.json"):
        for parts in param.values[0]["expect"].values():
            assert list(parts) == list(ScoreParts.__slots__)
