"""Numeric paths of llama.cpp besides the wheel's: builds for other processors, and other settings.

The npm package @node-llama-cpp/linux-x64 has one library of llama.cpp for each generation of x86-64 processors. A
library runs on every processor that has its instructions. A variant is named BUILD or BUILD/SETTINGS:

- "wheel" is the pinned wheel in canonical settings;
- "sse42" is the npm package's library for SSE 4.2;
- "wheel/kv-f16" is the wheel with keys and values in half precision.

A process can load only one of the package's libraries. `engine` names the path in a determinism class.
"""

import json
import os
import platform
import threading
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.llama import bindings
from p2pverify.node.files.textfile import user_path

PACKAGE = "@node-llama-cpp/linux-x64"
VERSION = "3.22.1"
ENVIRONMENT = "P2PVERIFY_LLAMA_VARIANTS"
NPM = bindings.Build(f"llama.cpp/{PACKAGE}-{VERSION}", has_moe_cache=False)
WHEEL = "wheel"
_AVX2 = ("avx2", "f16c", "fma", "bmi2")
_AVX512 = (*_AVX2, "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl")
#: The package's builds, each with the instructions that it needs beyond plain x86-64, as Linux names them.
BUILDS: dict[str, tuple[str, ...]] = {
    "x64": (),
    "sse42": ("ssse3", "sse4_2"),
    "sandybridge": ("avx",),
    "ivybridge": ("avx", "f16c"),
    "piledriver": ("avx", "f16c", "fma"),
    "haswell": _AVX2,
    "alderlake": (*_AVX2, "avx_vnni"),
    "skylakex": _AVX512,
    "cannonlake": (*_AVX512, "avx512vbmi"),
    "cascadelake": (*_AVX512, "avx512_vnni"),
    "icelake": (*_AVX512, "avx512vbmi", "avx512_vnni"),
    "cooperlake": (*_AVX512, "avx512_vnni", "avx512_bf16"),
    "zen4": (*_AVX512, "avx512vbmi", "avx512_vnni", "avx512_bf16"),
    "sapphirerapids": (*_AVX512, "avx512vbmi", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8"),
}
_PACKAGE_JSON_BYTES_MAX = 65_536
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a context that change bits. With each of them, decoding gives the same bits as prefill."""

    name: str
    kv_type: int
    batch_tokens: int


CANONICAL = Settings("fa1/kv-q8_0", bindings.GGML_Q8_0, 64)
#: Settings by the suffix of a variant's name. With f16 keys, llama.cpp uses another kernel from 64 queries on, so the
#: batch is smaller there.
SETTINGS = {"": CANONICAL, "kv-f16": Settings("fa1/kv-f16", bindings.GGML_F16, 32)}


def parse(variant: str) -> tuple[str, Settings]:
    """A variant's build and settings; "" is the wheel. Raises EngineUnavailable, whose message lists the variants."""
    build, _, suffix = (variant or WHEEL).partition("/")
    if build not in (WHEEL, *BUILDS) or suffix not in SETTINGS:
        raise EngineUnavailable(
            f"llama.cpp has no variant {variant[:64]!r}: there are {WHEEL}, {', '.join(BUILDS)}, "
            f"each also with {' or '.join('/' + name for name in SETTINGS if name)}"
        )
    return build, SETTINGS[suffix]


def default_folder() -> Path:
    """The folder of the npm package: the value of P2PVERIFY_LLAMA_VARIANTS, else a folder in the user's cache."""
    named = os.environ.get(ENVIRONMENT)
    return user_path(named) if named else platformdirs.user_cache_path("p2pverify") / "llama-variants"


def load(build: str, folder: Path | None = None) -> bindings.Library:
    """The library of a build, loaded once in a process.

    `folder` is the folder where npm installed the package (it holds node_modules), or the package's own folder. Raises
    EngineUnavailable if the package is absent or has another version, if this processor lacks an instruction that the
    build uses, or if the process has loaded another of the package's builds.
    """
    if build == WHEEL:
        return bindings.load()
    libraries = _libraries(default_folder() if folder is None else folder)
    with _lock:
        if not _loaded:
            _loaded[build] = _load(build, libraries)
        elif build not in _loaded:
            raise EngineUnavailable(f"this process runs llama.cpp's variant {next(iter(_loaded))}, so {build} cannot")
        return _loaded[build]


_lock = threading.Lock()
_loaded: dict[str, bindings.Library] = {}


def _load(build: str, libraries: Path) -> bindings.Library:
    lacking = missing(build)
    if lacking:
        raise EngineUnavailable(f"this processor lacks what llama.cpp's variant {build} uses: {', '.join(lacking)}")
    return bindings.Library(
        _only(libraries, "libllama.v*.so"),
        NPM,
        loader=_only(libraries, "libggml.v*.so"),
        backend=_only(libraries, f"libggml-cpu-{build}.so"),
    )


def processor() -> frozenset[str]:
    """The instructions of this machine's processor, as Linux names them; empty if the system does not list them."""
    try:
        lines = _CPU_INFO.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return frozenset(flags.split())


def machine() -> str:
    """This machine in one line: its architecture, and those instructions of its processor that a build may need."""
    matters = dict.fromkeys(need for needs in BUILDS.values() for need in needs)
    here = processor()
    has = [name for name in matters if name in here]
    return " ".join([platform.machine(), *has])


def missing(build: str) -> list[str]:
    """The instructions that a build uses and this machine lacks; empty if the system does not list instructions."""
    here = processor()
    return [need for need in BUILDS.get(build, ()) if here and need not in here]


def installed(folder: Path | None = None) -> bool:
    """Whether the npm package is installed in the pinned version."""
    try:
        _libraries(default_folder() if folder is None else folder)
    except EngineUnavailable:
        return False
    return True


def _libraries(folder: Path) -> Path:
    """The package's folder of libraries. Raises EngineUnavailable if the package is absent or has another version."""
    places = [folder / "node_modules" / PACKAGE, folder / PACKAGE, folder]
    package = next((place for place in places if (place / "package.json").is_file()), None)
    hint = f"run `npm install --prefix {folder} {PACKAGE}@{VERSION}`, or name another folder in {ENVIRONMENT}"
    if package is None:
        raise EngineUnavailable(f"llama.cpp's variants are not in {folder}: {hint}")
    try:
        with (package / "package.json").open("rb") as file:
            described = json.loads(file.read(_PACKAGE_JSON_BYTES_MAX))
        found = (described["name"], described["version"])
    except (OSError, ValueError, KeyError, TypeError):
        raise EngineUnavailable(f"{package / 'package.json'} describes no package: {hint}") from None
    if found != (PACKAGE, VERSION):
        raise EngineUnavailable(f"{package} is {found[0]} {found[1]}, and only {PACKAGE} {VERSION} is known: {hint}")
    return package / "bins" / "linux-x64"


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise EngineUnavailable(f"{folder} has no {pattern}: this machine needs another package of llama.cpp")
    return found[0]
