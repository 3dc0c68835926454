"""Accepts connections also while this process can open no more files."""

import errno
import logging
from collections.abc import Callable

import trio

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE_S = 0.1
WARN_AGAIN_S = 600.0

_log = logging.getLogger(__name__)


class PatientListener(trio.abc.Listener[trio.SocketStream]):
    """A listener that waits when the system has no room for another connection. `full` is called each time.

    The operator is told at most once in WARN_AGAIN_S.
    """

    def __init__(self, listener: trio.abc.Listener[trio.SocketStream], full: Callable[[], None]) -> None:
        self._listener = listener
        self._full = full
        self._warned_s = -WARN_AGAIN_S

    async def accept(self) -> trio.SocketStream:
        while True:
            try:
                return await self._listener.accept()
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._full()
                self._warn(error)
                await trio.sleep(PAUSE_S)

    async def aclose(self) -> None:
        await self._listener.aclose()

    def _warn(self, error: OSError) -> None:
        now_s = trio.current_time()
        if now_s - self._warned_s < WARN_AGAIN_S:
            return
        self._warned_s = now_s
        _log.warning(
            "no connection can be taken (%s), so others wait: raise the limit of open files (ulimit -n, LimitNOFILE)",
            error.strerror,
        )
