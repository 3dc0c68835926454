"""llama.cpp's builds for other processors: their classes, and the errors if one cannot run here.

`tests/long/test_builds` has the slow builds.
"""

from pathlib import Path

import pytest

from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.llama import variants
from tests.support import builds

AVX512 = "x86-64-avx512/fa1/kv-q8_0"


@pytest.fixture(scope="module")
def folder() -> Path:
    return builds.folder()


@pytest.mark.parametrize(("variant", "path", "is_known"), [("haswell", builds.AVX2, True), ("skylakex", AVX512, False)])
def test_the_class_follows_from_the_bits(variant: str, path: str, is_known: bool) -> None:
    """The npm package's build for AVX2 gives the wheel's bits. The manifest has no golden answers for AVX512 yet."""
    builds.check_class(variant, path, is_known=is_known)


def test_variants_are_named_by_build_and_settings() -> None:
    """The default variant has no name. Others are the wheel or a build, with or without other settings."""
    assert variants.parse("") == ("wheel", variants.CANONICAL)
    assert variants.parse("sse42") == ("sse42", variants.CANONICAL)
    build, settings = variants.parse("wheel/kv-f16")
    assert (build, settings.name, settings.batch_tokens < 64) == ("wheel", "fa1/kv-f16", True)
    for text in ("sse43", "wheel/kv-q4", "kv-f16"):
        with pytest.raises(EngineUnavailable, match="sapphirerapids"):
            variants.parse(text)


def test_a_processor_that_lacks_instructions_is_told_which(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the missing instructions, and nothing is loaded."""
    cpu_info = tmp_path / "cpuinfo"
    cpu_info.write_text("processor : 0\nflags\t\t: fpu sse2 ssse3 sse4_2 avx\n")
    monkeypatch.setattr(variants, "_CPU_INFO", cpu_info)
    monkeypatch.setattr(variants, "_loaded", {})
    assert variants.missing("sse42") == []
    with pytest.raises(EngineUnavailable, match="haswell uses: avx2, f16c, fma, bmi2"):
        variants.load("haswell", folder)
    assert variants.machine().endswith(" ssse3 sse4_2 avx")
    monkeypatch.setattr(variants, "_CPU_INFO", tmp_path / "absent")
    assert variants.missing("sapphirerapids") == []


def test_one_build_in_a_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's libraries share state, so a second build would change the first."""
    loaded = {"sse42": object()}
    monkeypatch.setattr(variants, "_loaded", loaded)
    assert variants.load("sse42", folder) is loaded["sse42"]
    with pytest.raises(EngineUnavailable, match=r"runs llama\.cpp.s variant sse42, so haswell cannot"):
        variants.load("haswell", folder)


@pytest.mark.parametrize(
    ("description", "complaint"),
    [
        (None, "npm install --prefix"),
        ('{"name": "@node-llama-cpp/linux-x64", "version": "3.23.0"}', r"3\.23\.0, and only .* 3\.22\.1 is known"),
        ('{"name": "@node-llama-cpp/linux-x64"}', "describes no package"),
        ("[", "describes no package"),
        ('{"name": "@node-llama-cpp/linux-x64", "version": "3.22.1"}', "has no libllama"),
    ],
)
def test_only_the_pinned_package_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, description: str | None, complaint: str
) -> None:
    """If it is absent, damaged or of another version, the message says how to get the right one."""
    monkeypatch.setattr(variants, "_loaded", {})
    if description is not None:
        (tmp_path / "package.json").write_text(description)
    with pytest.raises(EngineUnavailable, match=complaint):
        variants.load("x64", tmp_path)
