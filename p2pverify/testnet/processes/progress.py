"""The progress of a run, for display to the user."""

from time import monotonic


class Stage:
    """The current stage of a run: its name, the steps done, and the start of the run."""

    def __init__(self) -> None:
        self.text = "preparing"
        self.done = 0
        self.total = 0
        self.told: list[str] = []  # sentences that stay on the display
        self.began = monotonic()

    def __str__(self) -> str:
        return f"{self.text} {self.done}/{self.total}" if self.total else self.text

    @property
    def seconds(self) -> float:
        """Seconds since the start of the command."""
        return monotonic() - self.began

    def enter(self, text: str, total: int = 0) -> None:
        """Begin another stage with `total` steps."""
        self.text, self.done, self.total = text, 0, total

    def tell(self, sentence: str) -> None:
        """Add a sentence that stays on the display."""
        self.told.append(sentence)
