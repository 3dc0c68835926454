"""Shares: token buckets in integers, with own shares and a common pool."""

from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.limits import BoundedDict, Bucket, Rate, Shares

RATE = Rate(per_second=10, burst=30)
A, B, C = b"a", b"b", b"c"


def test_a_bucket_gives_its_burst_and_then_its_rate():
    """A full bucket can be emptied at once, and refills by the millisecond."""
    bucket = Bucket(RATE, 0)
    assert bucket.take(30, 0)
    assert not bucket.take(1, 99)
    assert bucket.wait_ms(1, 99) == 1
    assert bucket.take(1, 100)
    assert bucket.wait_ms(5, 100) == 500
    assert bucket.wait_ms(1000, 100) == 3000  # the bucket never holds more than the burst
    assert bucket.level(10**9) == 30


def test_a_clock_that_goes_back_gives_nothing():
    """It takes nothing away either."""
    bucket = Bucket(RATE, 10_000, full=False)
    assert bucket.level(5_000) == 0
    assert bucket.level(5_100) == 1


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 40)), max_size=60))
def test_no_more_than_burst_and_rate_together(calls):
    """For any requests, the given amount is at most the burst and the rate times the time."""
    bucket, now_ms, given_out = Bucket(RATE, 0), 0, 0
    for pause_ms, tokens in calls:
        now_ms += pause_ms
        given_out += tokens * bucket.take(tokens, now_ms)
        assert given_out * 1000 <= RATE.burst * 1000 + RATE.per_second * now_ms


def test_the_pool_is_for_whoever_comes_and_the_own_share_stays():
    """One key may use up the pool. Another key still has its own share."""
    shares = Shares(RATE, Rate(per_second=1, burst=100), keys_max=8)
    assert shares.take(A, 1, 0)
    assert shares.take(B, 1, 0)
    assert shares.take(A, 98, 0)
    assert not shares.take(A, 1, 0)
    assert not shares.take(B, 1, 0)
    assert shares.take(B, 10, 1000)
    assert shares.take(A, 11, 1000)  # its own ten, and one that refilled the pool
    assert not shares.take(A, 1, 1000)


def test_all_or_nothing():
    """A refusal takes nothing from the own share or the pool."""
    shares = Shares(RATE, Rate(per_second=1, burst=5), keys_max=8)
    shares.take(A, 0, 0)
    assert not shares.take(A, 16, 1000)
    assert shares.take(A, 15, 1000)


def test_a_new_name_gains_nothing():
    """A peer that changes its name gets only what the pool gives, and the table stays bounded."""
    shares = Shares(RATE, Rate(per_second=1, burst=50), keys_max=4)
    taken = sum(shares.take(number.to_bytes(4, "big"), 1, 0) for number in range(1000))
    assert taken == 50
    assert len(shares) == 4


def test_who_was_away_longest_is_forgotten():
    """The table holds the most recent names."""
    shares = Shares(RATE, Rate(per_second=0, burst=0), keys_max=2)
    for key in (A, B, A, C):
        shares.take(key, 0, 0)
    assert not shares.take(B, 5, 500)  # its share starts again
    assert shares.take(C, 5, 500)


def test_a_bounded_dictionary_forgets_what_was_written_longest_ago() -> None:
    """Writing a key again makes it the newest; reading does not."""
    kept: BoundedDict[str, int] = BoundedDict(2)
    kept["a"], kept["b"] = 1, 2
    kept["a"] = 3
    assert kept["b"] == 2
    kept["c"] = 4
    assert dict(kept) == {"a": 3, "c": 4}
