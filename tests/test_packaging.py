"""The wheel: one package at top level, with the protocol and the scenarios inside."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the project's own backend."""
    target = tmp_path_factory.mktemp("wheel")
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


def test_nothing_but_the_package_is_installed_at_top_level(wheel: Path) -> None:
    """`protocol` and `testnet` are installed under p2pverify/_data."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"p2pverify"}
    assert any(name.startswith("p2pverify/_data/protocol/") and name.endswith(".cddl") for name in names)
    assert "p2pverify/_data/testnet/scenarios/default.toml" in names
    assert "p2pverify/py.typed" in names
    assert not any(name.endswith((".gguf", ".so")) for name in names)


def test_the_wheel_finds_its_scenarios(wheel: Path, tmp_path: Path) -> None:
    """The installed package is enough, without a checkout beside it."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "from p2pverify.resources import resource; print((resource('testnet') / 'scenarios/default.toml').exists())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "True", done.stderr
