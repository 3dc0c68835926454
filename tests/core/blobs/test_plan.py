"""The plan of a download: what is asked of whom, who is dropped, and that it ends."""

from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.blobs.plan import BUSY_MAX, FAILURES_MAX, SOURCES_MAX, ChunkPlan, SourceFault

A, B, C = b"a", b"b", b"c"


def test_chunks_are_asked_for_in_order_and_once() -> None:
    plan = ChunkPlan([4, 2, 9], [A, B])
    assert [plan.next(source, 0) for source in (A, B, A)] == [2, 4, 9]
    assert plan.next(B, 0) is None
    assert plan.left == 3


def test_four_sources_are_asked_and_the_others_wait() -> None:
    """A source that has lied loses its place to the next one."""
    names = [bytes([number]) for number in range(6)]
    plan = ChunkPlan(range(9), names)
    assert plan.active() == tuple(names[:SOURCES_MAX])
    chunk = plan.next(names[1], 0)
    assert chunk is not None
    plan.dropped(names[1], chunk, SourceFault.FALSE, 0)
    assert plan.active() == (names[0], *names[2:5])
    assert plan.ended() == {names[1]: SourceFault.FALSE}
    assert plan.next(names[0], 0) == chunk
    assert plan.next(names[1], 0) is None


def test_a_source_without_the_file_is_dropped_at_once_and_a_failing_one_later() -> None:
    plan = ChunkPlan([0], [A, B])
    plan.note(A, SourceFault.MISSING, 0)
    assert plan.active() == (B,)
    now = 0
    for _ in range(FAILURES_MAX):
        assert plan.active() == (B,)
        now += plan.wait_ms(B, now) or 0
        chunk = plan.next(B, now)
        assert chunk == 0
        plan.dropped(B, chunk, SourceFault.FAILED, now)
        assert plan.next(B, now) is None
    assert plan.active() == ()
    assert not plan.is_done


def test_a_busy_source_is_asked_again_after_longer_and_longer() -> None:
    plan, now, waits = ChunkPlan([0], [A]), 0, []
    while plan.active():
        chunk = plan.next(A, now)
        assert chunk == 0
        plan.dropped(A, chunk, SourceFault.BUSY, now)
        wait = plan.wait_ms(A, now)
        assert wait is not None
        waits.append(wait)
        now += wait
    assert len(waits) == BUSY_MAX
    assert waits == sorted(waits)
    assert waits[0] < waits[-1] <= 8000


def test_faults_in_a_row_count_and_a_delivery_ends_the_row() -> None:
    plan, now = ChunkPlan(range(10), [A]), 0
    for _ in range(3 * FAILURES_MAX):
        now += plan.wait_ms(A, now) or 0
        chunk = plan.next(A, now)
        assert chunk is not None
        plan.dropped(A, chunk, SourceFault.FAILED, now)
        now += plan.wait_ms(A, now) or 0
        assert plan.next(A, now) == chunk
        plan.delivered(A, chunk)
    assert plan.active() == (A,)


def test_a_slow_chunk_is_asked_of_a_second_source_and_no_third() -> None:
    """Whichever comes first counts, and the other source may stop."""
    plan = ChunkPlan([0], [A, B, C])
    assert plan.next(A, 0) == 0
    assert plan.next(B, 100) is None
    wait = plan.wait_ms(B, 100)
    assert wait is not None
    assert plan.next(B, 100 + wait) == 0
    assert plan.next(C, 10**6) is None
    assert plan.wait_ms(C, 10**6) is None
    assert plan.delivered(B, 0) == (A,)
    plan.forgone(A, 0)
    assert plan.is_done
    assert plan.delivered(A, 0) == ()


def test_a_copy_that_is_given_up_leaves_the_chunk_to_the_other() -> None:
    plan = ChunkPlan([0], [A, B])
    plan.next(A, 0)
    assert plan.next(B, 5000) == 0
    plan.dropped(A, 0, SourceFault.FALSE, 5000)
    assert plan.left == 1
    assert plan.next(B, 5000) is None
    plan.delivered(B, 0)
    assert plan.is_done


@given(st.integers(0, 12), st.lists(st.sampled_from([*SourceFault, None]), max_size=60), st.integers(1, 6))
def test_it_ends_whatever_the_sources_do(count: int, script: list[SourceFault | None], sources: int) -> None:
    """Each answer follows the script, later ones are right. Either all chunks come once, or no source is left."""
    plan, now, got = ChunkPlan(range(count), [bytes([n]) for n in range(sources)]), 0, []
    answers = iter(script)
    for _ in range(2000):
        if plan.is_done or not plan.active():
            break
        assert len(plan.active()) <= SOURCES_MAX
        for source in plan.active():
            chunk = plan.next(source, now)
            if chunk is None:
                continue
            fault = next(answers, None)
            if fault is None:
                got.append(chunk)
                assert plan.delivered(source, chunk) == ()
            else:
                plan.dropped(source, chunk, fault, now)
        now += 500
    assert sorted(got) == sorted(set(got))
    assert plan.left == count - len(got)
    assert plan.is_done == (len(got) == count)
    assert plan.is_done or not plan.active()
