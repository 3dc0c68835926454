"""Network files: round trips, and errors that name the place."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.classes import ANY, DeterminismClass
from p2pverify.core.contract.history.lines import LINE_EPOCHS_MAX, ModelLine, Publishers
from p2pverify.core.contract.history.training import MEAN
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import PARAM_BOUNDS, Network, Params
from p2pverify.core.contract.shapes import RequestShape
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.node.endpoints.address import BOOTSTRAP_MAX
from p2pverify.node.files.networkfile import (
    NETWORK_FILE_BYTES_MAX,
    dump_network,
    first_peers,
    load_network,
    new_network,
)
from p2pverify.node.files.textfile import FileError
from tests.node.fakes import FakeEngine
from tests.support.manifests import across, digests, text
from tests.support.money import TARIFF
from tests.support.networks import make_network, seeds
from tests.support.training import ADAPTED, NOISE, RULE

KEYS = tuple(sign.public_key(hashlib.sha256(bytes([n])).digest()) for n in range(4))
INFO = FakeEngine().info

manifests = st.builds(Manifest, text, digests, digests, digests, text, text, text, st.one_of(st.none(), digests))


CHEAT_PPM = 500_000
judged_across = across(honest_max=CHEAT_PPM - 1)
honest = st.integers(1, CHEAT_PPM - 1)
tables = st.sampled_from([(), (RequestShape(5, 1, 8, 0, 0, 1000), RequestShape(1, 9, 256, 1, 1024, 0))])
paths = text.filter(lambda name: name != ANY)  # ANY is not a path's name


rules = st.sampled_from(
    [
        None,
        replace(RULE, contributors=tuple((key, at % 3) for at, key in enumerate(sorted(KEYS))), aggregate=MEAN, f=0),
        replace(RULE, contributors=(), **NOISE),
        replace(RULE, contributors=(), **ADAPTED),
    ]
)


@st.composite
def _lines(draw, listed):
    made = []
    for number, genesis in enumerate(sorted(draw(st.sets(st.sampled_from(listed), max_size=2)))):
        keys = tuple(sorted(draw(st.sets(st.sampled_from(KEYS), min_size=1))))
        publishers = Publishers(keys, draw(st.integers(1, len(keys))))
        epochs = [draw(st.integers(1, LINE_EPOCHS_MAX)) for _ in range(3)]
        name = draw(text).replace("@", "")[:50]
        made.append(ModelLine(f"{name}{number}", genesis, publishers, *epochs, draw(rules)))
    return tuple(made)


@st.composite
def networks(draw):
    inline = draw(st.lists(manifests, max_size=2, unique_by=lambda m: m.digest))
    absent = draw(st.lists(digests, min_size=0 if inline else 1, max_size=2, unique=True))
    listed = sorted({m.digest for m in inline} | set(absent))
    numbers = {name: draw(st.integers(low, high)) for name, low, high in PARAM_BOUNDS}
    numbers["cheat_ppm"] = CHEAT_PPM
    for spread, most in (
        ("prompt", "prompt_tokens"),
        ("answer", "answer_tokens"),
        ("temperature", "temperature_milli"),
    ):
        numbers[f"{spread}_spread"] = min(numbers[f"{spread}_spread"], max(0, numbers[most] - 1))
    if numbers["long_tokens"] <= numbers["answer_tokens"] or not numbers["long_permille"]:
        numbers |= {"long_permille": 0, "long_tokens": 0}
    names = draw(st.lists(text, min_size=1, max_size=3, unique=True))
    referee = draw(text)
    judged = st.none() | judged_across if referee else st.none()
    classes = tuple(
        DeterminismClass(name, draw(st.sampled_from(listed)), draw(paths), draw(paths), draw(honest), draw(judged))
        for name in names
    )
    if referee:
        classes = (*classes, DeterminismClass("of no known class", listed[0], ANY, ANY, 1, draw(judged_across)))
    founders = tuple(sorted(draw(st.sets(st.sampled_from(KEYS), min_size=1))))
    params = Params(**numbers, shapes=draw(tables))
    tariff = draw(st.none() | st.builds(replace, st.just(TARIFF), limit=st.integers(1, 2**40)))
    lines = draw(_lines(listed))
    network = Network(draw(text), founders, tuple(listed), classes, params, referee, lines=lines, tariff=tariff)
    return network, tuple(sorted(inline, key=lambda m: m.digest))


@given(networks())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(tmp_path_factory, given_network):
    """Every network is read back from its text, with quotes and backslashes."""
    network, inline = given_network
    path = tmp_path_factory.mktemp("n") / "network.toml"
    path.write_text(dump_network(network, inline), encoding="utf-8")
    assert load_network(path) == (network, inline)


def test_a_new_network_is_complete():
    """A contract that is made from an engine's description has its manifest, its class and every rule."""
    network, inline = new_network("mine", [KEYS[1], KEYS[0]], INFO, genesis_ms=5, epoch_ms=5_000)
    assert network.founders == tuple(sorted(KEYS[:2]))
    assert [m.digest for m in inline] == list(network.manifests)
    assert (network.params.genesis_ms, network.params.epoch_ms) == (5, 5_000)
    assert network.classes[0].engine == INFO.engine
    assert all(f"{name} = " in dump_network(network, inline) for name, _, _ in PARAM_BOUNDS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a\x1b[2J"}, "control characters"),
        ({"founders": []}, "founders"),
        ({"founders": [KEYS[0], KEYS[1], KEYS[0]]}, "founders"),
        ({"epoch_ms": 1}, "epoch_ms"),
        ({"epoch": 1}, "unknown key 'epoch'"),
        ({"honest_ppm": 200_000}, "honest_ppm must be below cheat_ppm"),
    ],
)
def test_impossible_networks_are_refused(changes, message):
    """`new_network` gives the reason in a sentence."""
    arguments = {"name": "mine", "founders": [KEYS[0]], "genesis_ms": 1, **changes}
    with pytest.raises(ValueError, match=message):
        new_network(arguments.pop("name"), arguments.pop("founders"), INFO, **arguments)


def good() -> str:
    return dump_network(*new_network("mine", [KEYS[0]], INFO, genesis_ms=1))


@pytest.mark.parametrize(
    ("old", "new", "reason", "hint"),
    [
        ("epoch_ms = 60000", "epoch_mss = 60000", "unknown key 'params.epoch_mss'", "did you mean 'epoch_ms'?"),
        ("epoch_ms = 60000", "epoch_ms = 60000.5", "key 'params.epoch_ms'", "correct"),
        ("epoch_ms = 60000", 'epoch_ms = "60000"', "key 'params.epoch_ms'", "correct"),
        ("epoch_ms = 60000", "epoch_ms = true", "key 'params.epoch_ms'", "correct"),
        ("epoch_ms = 60000", "epoch_ms = 5", "5 is not from 200 to 86400000", "correct"),
        ("epoch_ms = 60000", "epoch_ms = = 5", "is not TOML", "correct that line"),
        ("genesis_ms = 1\n", "", "key 'params.genesis_ms' is missing", "correct"),
        ("honest_ppm = 1000", "honest_ppm = 99999999999999999999", "key 'class[1].honest_ppm'", "correct"),
        ("honest_ppm = 1000", "honest_ppm = 100000", "honest_ppm must be below cheat_ppm", "correct"),
        (peer_id(KEYS[0]), peer_id(KEYS[0])[:-1], "not a peer id", "correct"),
        (f'"{peer_id(KEYS[0])}",', f'"{peer_id(KEYS[0])}",' * 2, "named twice", "correct"),
        ('name = "mine"', 'name = "' + "x" * 65 + '"', "name: longer than 64 bytes", "correct"),
        ('engine = "toy"', 'engine = "\\u0007"', "control characters", "correct"),
        ('weights = "00', 'weights = "zz', "not a SHA-256 digest", "correct"),
        ("[[class]]", "[[classes]]", "key 'class' is missing", "did you mean 'class'?"),
        ('tokenizer = "00', 'tokenizer = "11', "a manifest that the network does not list", "correct"),
    ],
)
def test_faults_are_named(tmp_path, old, new, reason, hint):
    """Each fault of a network file is reported with its key or line, and with advice."""
    path = tmp_path / "network.toml"
    assert old in good()
    path.write_text(good().replace(old, new), encoding="utf-8")
    with pytest.raises(FileError) as caught:
        load_network(path)
    assert reason in caught.value.reason
    assert hint in caught.value.hint
    assert str(path) in caught.value.reason


def test_files_that_are_no_text_are_refused(tmp_path):
    """A missing file, one that is too long, not UTF-8 or nested too deep, and a directory are each a FileError."""
    path = tmp_path / "network.toml"
    cases = {
        "too long": b"#" * (NETWORK_FILE_BYTES_MAX + 1),
        "not UTF-8": b"name = '\xff'",
        "deep": b"a = " + b"[" * 20_000,
    }
    for data in cases.values():
        path.write_bytes(data)
        with pytest.raises(FileError):
            load_network(path)
    for other in (tmp_path / "missing.toml", Path(tmp_path)):
        with pytest.raises(FileError):
            load_network(other)


def test_faults_of_a_training_rule(tmp_path: Path) -> None:
    """A key that is none, a number beyond its range, and keys that do not fit together are named."""
    line = ModelLine("rows", bytes(32), Publishers(KEYS[:1], 1), 1, 1, 1, replace(RULE, contributors=()))
    network, _ = new_network("n", KEYS[:1], INFO, genesis_ms=0)
    line = replace(line, genesis=network.manifests[0])
    path = tmp_path / "network.toml"
    whole = dump_network(replace(network, lines=(line,)))
    path.write_text(whole)
    assert load_network(path)[0].lines == (line,)
    for old, new, why in (
        ("batch = 16", "batch = 1025", "line[1].training.batch"),
        ("batch = 16", "batches = 16", "batches"),
        ("batch = 16", "batch = 0", "has a batch"),
        ("erasure_policy = 0", "erasure_policy = 2", "erasure_policy"),
        ("held_rows = 8", "held_rows = 0", "held_rows is 0 in mode 2"),
        ("mode = 1", 'contributors = [{ peer = "x", house = 0 }]\nmode = 1', "peer id"),
    ):
        assert old in whole
        path.write_text(whole.replace(old, new))
        with pytest.raises(FileError, match=why.replace("[", r"\[")):
            load_network(path)
    replayed = whole.replace("erasure_policy = 0", "erasure_policy = 1")
    path.write_text(replayed)
    assert load_network(path)[0].lines[0].training == replace(RULE, contributors=(), erasure_policy=1)
    reported = whole.replace("mode = 1", "mode = 2").replace("held_rows = 8", "held_rows = 0")
    for other, why in ((replayed.replace("rounds = 6\n", "rounds = 33\n"), "at most 32 rounds"), (reported, "mode 2")):
        path.write_text(other)
        with pytest.raises(FileError, match=why):
            load_network(path)


def test_first_peers_are_no_rule(tmp_path: Path) -> None:
    """A network file may name first peers. They are read back, and do not change the network."""
    network = make_network(seeds(2))
    path = tmp_path / "network.toml"
    named = ("/dnsaddr/seeds.example.org", "/ip4/192.0.2.1/tcp/4747")
    path.write_text(dump_network(network, (), named))
    assert first_peers(path) == named
    assert load_network(path)[0].id == network.id
    path.write_text(dump_network(network))
    assert first_peers(path) == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('bootstrap = ["/dnsaddr/a b"]', "this is not a DNS name"),
        ('bootstrap = ["/ip4/0.0.0.0/tcp/1"]', "nobody can dial 0.0.0.0"),
        (f"bootstrap = {['/dnsaddr/a.example'] * (BOOTSTRAP_MAX + 1)}", "at most 64"),
    ],
)
def test_bad_first_peers_are_named(tmp_path: Path, line: str, reason: str) -> None:
    """The fault is reported as that of any other key."""
    path = tmp_path / "network.toml"
    path.write_text(f"{line}\n{dump_network(make_network(seeds(2)))}")
    with pytest.raises(FileError, match="bootstrap") as caught:
        first_peers(path)
    assert reason in caught.value.reason
