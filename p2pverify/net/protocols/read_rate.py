"""The rate limit for reading from one neighbour. Beyond it we pause reading, so that the sender has to wait."""

import trio

from p2pverify.core.limits import Bucket, Rate

#: Far above what honest gossip needs: a saturated mesh sends some hundred frames per second and neighbour.
FRAMES = Rate(per_second=2000, burst=10_000)
BYTES = Rate(per_second=4 * 1024 * 1024, burst=16 * 1024 * 1024)


class ReadRate:
    """The rate limit of one stream."""

    def __init__(self) -> None:
        now_ms = _now_ms()
        self._frames = Bucket(FRAMES, now_ms)
        self._bytes = Bucket(BYTES, now_ms)

    async def keep(self, size: int) -> bool:
        """Account for a frame of `size` bytes, at most the burst. False if we had to wait."""
        now_ms = _now_ms()
        if self._frames.take(1, now_ms) and self._bytes.take(size, now_ms):
            return True
        wait_ms = max(self._frames.wait_ms(1, now_ms), self._bytes.wait_ms(size, now_ms))
        await trio.sleep(wait_ms / 1000)
        now_ms = _now_ms()
        self._frames.take(1, now_ms)
        self._bytes.take(size, now_ms)
        return False


def _now_ms() -> int:
    return int(trio.current_time() * 1000)
