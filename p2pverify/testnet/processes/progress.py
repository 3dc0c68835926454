"""What the runner is doing, for who waits."""

from time import monotonic


class Stage:
    """A phrase, how much of it is done, and since when the run goes on."""

    def __init__(self) -> None:
        self.text = "preparing"
        self.done = 0
        self.total = 0
        self.told: list[str] = []  # sentences that stay
        self.began = monotonic()

    def __str__(self) -> str:
        return f"{self.text} {self.done}/{self.total}" if self.total else self.text

    @property
    def seconds(self) -> float:
        """Since the command."""
        return monotonic() - self.began

    def enter(self, text: str, total: int = 0) -> None:
        """Begin something else, of which `total` pieces are to be done."""
        self.text, self.done, self.total = text, 0, total

    def tell(self, sentence: str) -> None:
        """Say something that shall stay readable."""
        self.told.append(sentence)
