"""Fuzz the decoders of `decoders` for as long as one likes, guided by coverage, with atheris.

Usage: python -m tests.fuzz.run_atheris [DECODER ...] [-- LIBFUZZER OPTION ...]

Without a name all decoders are tried, each input by the one that its first byte chooses. atheris is not among the
dependencies. A failing input is written to `crash-*` in the current directory, and shown with its traceback.
"""

import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Run until interrupted, until a decoder fails, or as libFuzzer is told (`-runs`, `-max_total_time`)."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed here: install it into this environment first")
    with atheris.instrument_imports(include=["p2pverify"]):
        from tests.fuzz.decoders import DECODERS
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    names, options = words[:at] or sorted(DECODERS), words[at + 1 :]
    if unknown := set(names) - set(DECODERS):
        sys.exit(f"there is no decoder {min(unknown)}; there are: {', '.join(sorted(DECODERS))}")
    chosen = [DECODERS[name] for name in names]

    def try_one(data: bytes) -> None:
        if data:
            chosen[data[0] % len(chosen)].check(data[1:])

    with tempfile.TemporaryDirectory() as corpus:
        for place, decoder in enumerate(chosen):
            for number, seed in enumerate(decoder.seeds()):
                (Path(corpus) / f"{place}-{number}").write_bytes(bytes([place]) + seed[:4096])
        atheris.Setup([sys.argv[0], *options, corpus], try_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
