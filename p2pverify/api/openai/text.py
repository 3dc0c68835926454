"""Tokens of an answer become text as they arrive: whole characters only, and nothing of a stop sequence."""

import codecs
from collections.abc import Callable, Sequence


class TextWriter:
    """The text of one answer. `piece` gives the bytes of a token, and `stops` end the text before they occur in it.

    Bytes of an incomplete character are held back, and so is an end of the text that may begin a stop sequence.
    """

    def __init__(self, piece: Callable[[int], bytes], stops: Sequence[str]) -> None:
        self._piece = piece
        self._stops = tuple(stops)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.tokens = 0  # that were needed for the text so far
        self.stopped = False

    def feed(self, tokens: Sequence[int]) -> str:
        """The text that is certain after these tokens too."""
        said = ""
        for token in tokens:
            if self.stopped:
                break
            self.tokens += 1
            said += self._take(self._decoder.decode(self._piece(token)))
        return said

    def end(self) -> str:
        """The rest of the text, after the last token."""
        if self.stopped:
            return ""
        said = self._take(self._decoder.decode(b"", final=True))
        held, self._held = self._held, ""
        return said if self.stopped else said + held

    def _take(self, text: str) -> str:
        self._held += text
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            said, self._held = self._held[: min(found)], ""
            return said
        sure = len(self._held) - max((_overlap(self._held, stop) for stop in self._stops), default=0)
        said, self._held = self._held[:sure], self._held[sure:]
        return said


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` with which `stop` begins, but not the whole of it."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
