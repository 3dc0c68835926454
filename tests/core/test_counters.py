"""The counts of events that the metrics show."""

from p2pverify.core.counters import Counters


def test_a_name_is_shown_once_it_is_counted() -> None:
    """Names that were given are shown from the start; others once they are counted, even by 0."""
    counters = Counters(("served",))
    assert counters == {"served": 0}
    assert "refused" not in counters
    counters.count("refused", 0)
    counters.count("served")
    counters.count("served", 2)
    assert counters == {"served": 3, "refused": 0}
    assert list(counters) == ["served", "refused"]
