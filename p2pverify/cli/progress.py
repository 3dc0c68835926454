"""Progress of slow starts, on stderr: a line that is rewritten on a terminal, else one line per stage.

A stage is named by what stands before its first colon; the rest may say how far it is.
"""

import sys
from typing import Self, TextIO


class Progress:
    """Call it as `progress(stage, done, total)`, from any thread. It is a context manager, which removes its line."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._rewrites = self._stream.isatty()
        self._shown = ""
        self._stage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._rewrites:
            share = f" {min(100, 100 * done // total)} %" if total > 0 else " ..."
            self._rewrite(f"{stage}{share}")
        elif stage.partition(":")[0] != self._stage:
            self._stream.write(f"{stage} ...\n")
            self._stream.flush()
        self._stage = stage.partition(":")[0]

    def close(self) -> None:
        """Remove the progress line."""
        if self._rewrites and self._shown:
            self._rewrite("")

    def _rewrite(self, text: str) -> None:
        if text == self._shown:
            return
        # Padding instead of an escape code, because it works on every terminal.
        self._stream.write("\r" + text.ljust(len(self._shown)) + ("" if text else "\r"))
        self._stream.flush()
        self._shown = text
