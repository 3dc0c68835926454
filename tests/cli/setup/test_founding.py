"""`network new` names the founders and explains the consequences."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from p2pverify.cli.setup.founding import meaning, quorum, weakness
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import load_network
from tests.cli.transcript import run

KEYS = [sign.public_key(bytes([n]) * 32) for n in range(5)]
NEW = ("network", "new", "--engine", "toy")


def _named(keys: Sequence[bytes]) -> list[str]:
    return [part for key in keys for part in ("--founder", peer_id(key))]


@pytest.mark.parametrize("count", range(1, 40))
def test_the_quorum_is_what_the_fold_asks(count: int) -> None:
    """A cut needs signatures of at least two thirds of the weight."""
    needed = quorum(count)
    assert 3 * needed >= 2 * count
    assert 3 * (needed - 1) < 2 * count
    assert f"{needed} of {count}" in meaning(count)
    assert (f"so {count - needed} may be away" in meaning(count)) == (needed < count)


def test_weakness_is_told_for_what_it_is() -> None:
    """With one or two founders all must be present. With three, one can lie to the other two."""
    assert "while a founder is away" in weakness(1) == weakness(2)
    assert "lying" in weakness(3)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_fewer_than_four_founders_are_warned(count: int, tmp_path: Path) -> None:
    """The warning says how to collect ids. The network is still made, without a home."""
    done = run(tmp_path / "home", *NEW, *_named(KEYS[:count]), "-o", str(tmp_path / "n.toml"))
    assert done.returncode == 0
    assert ("warning: " in done.stderr, "p2pverify init" in done.stderr) == (count < 4, count < 4)
    assert f"founders: {count}." in done.stdout
    assert load_network(tmp_path / "n.toml")[0].founders == tuple(sorted(KEYS[:count]))
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("options", "growth", "tenure", "third", "half"),
    [
        ((), 525_600, 10_107, "148 days", "253 days"),
        (("--for", "friends"), 10_080, 193, "3 days", "5 days"),
        (("--for", "friends", "--epoch-ms", "10000"), 60_480, 1163, "3 days", "5 days"),
        (("--growth-epochs", "100", "--tenure-epochs", "7"), 100, 7, "41 minutes", "69 minutes"),
    ],
)
def test_the_price_of_a_takeover_is_told(
    options: tuple[str, ...], growth: int, tenure: int, third: str, half: str, tmp_path: Path
) -> None:
    """The time is the same for all epoch lengths: the number of epochs is not. What is given is kept."""
    done = run(tmp_path / "home", *NEW, *_named(KEYS[:4]), *options, "-o", str(tmp_path / "n.toml"))
    params = load_network(tmp_path / "n.toml")[0].params
    assert (params.growth_epochs, params.tenure_epochs) == (growth, tenure)
    assert f"needs {third} for a third" in done.stdout
    assert f"{half} for a half" in done.stdout


def test_a_network_without_a_pace_says_so(tmp_path: Path) -> None:
    done = run(tmp_path / "home", *NEW, *_named(KEYS[:4]), "--growth-epochs", "0", "-o", str(tmp_path / "n.toml"))
    assert "a majority at once; this is for tests only" in done.stdout


def test_a_founder_named_twice_is_refused(tmp_path: Path) -> None:
    """An id that is given twice would look like one more founder."""
    done = run(tmp_path / "home", *NEW, *_named([*KEYS[:3], KEYS[1]]), "-o", str(tmp_path / "n.toml"))
    assert (done.returncode, f"{peer_id(KEYS[1])} is named twice" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_this_peer_is_not_left_out_silently(tmp_path: Path) -> None:
    """If other founders are given, the home's own peer must be given too to be a founder."""
    home = Home(tmp_path / "home")
    home.init()
    own = sign.public_key(home.load_identity())
    done = run(home.path, *NEW, *_named(KEYS[:4]), "-o", str(tmp_path / "n.toml"))
    assert f"this home's peer {peer_id(own)} is no founder" in done.stderr
    done = run(home.path, *NEW, *_named([*KEYS[:3], own]), "-o", str(tmp_path / "m.toml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"next: 'p2pverify join {tmp_path}/m.toml'" in done.stdout


def test_the_file_on_stdout_is_alone_there(tmp_path: Path) -> None:
    """With `-o -` all messages go to stderr."""
    done = run(tmp_path / "home", *NEW, *_named(KEYS[:1]), "-o", "-")
    (tmp_path / "n.toml").write_text(done.stdout)
    assert load_network(tmp_path / "n.toml")[0].founders == (KEYS[0],)
    assert "founders: 1." in done.stderr


@pytest.mark.parametrize("kept", ["another network", "damaged"])
@pytest.mark.parametrize("is_founder", [True, False])
def test_a_home_of_another_network_is_not_told_to_join(kept: str, is_founder: bool, tmp_path: Path) -> None:
    """A home belongs to one network, so the new network needs another home."""
    home = Home(tmp_path / "home")
    home.init()
    assert run(home.path, *NEW, "-o", str(home.network_path)).returncode == 0
    if kept == "damaged":
        home.network_path.write_bytes(b"\xff")
    named = () if is_founder else _named(KEYS[:4])
    done = run(home.path, *NEW, *named, "-o", str(tmp_path / "n.toml"))
    assert done.returncode == 0
    assert "next: 'p2pverify join" not in done.stdout
    assert f"{home.path} belongs to " in done.stdout
    assert "--home DIR init" in done.stdout
    assert ("this peer cannot join" in done.stdout) == is_founder
