"""A listener of a process that can open no more files."""

import errno
import logging
import os

import pytest
import trio
from trio.testing import MockClock

from p2pverify.node.endpoints.accepting import EXHAUSTED, PAUSE_S, PatientListener


class FullListener(trio.abc.Listener[trio.SocketStream]):
    """Refuses to accept with these errors, one after the other. Then it accepts."""

    def __init__(self, stream: trio.SocketStream, errors: list[int]) -> None:
        self._stream = stream
        self._errors = errors

    async def accept(self) -> trio.SocketStream:
        await trio.lowlevel.checkpoint()
        if self._errors:
            number = self._errors.pop(0)
            raise OSError(number, os.strerror(number))
        return self._stream

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def a_stream() -> trio.SocketStream:
    one, other = trio.socket.socketpair()
    other.close()
    return trio.SocketStream(one)


async def test_it_waits_for_room_and_warns_once(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """Each error of a full system is waited for. The log has one line, without a traceback."""
    stream, waited = await a_stream(), []
    patient = PatientListener(FullListener(stream, [*EXHAUSTED]), lambda: waited.append(trio.current_time()))
    began_s = trio.current_time()
    with caplog.at_level(logging.WARNING):
        assert await patient.accept() is stream
    assert trio.current_time() - began_s == pytest.approx(len(EXHAUSTED) * PAUSE_S)
    assert len(waited) == len(EXHAUSTED)
    (told,) = caplog.records
    assert "limit of open files" in told.getMessage()
    assert told.exc_info is None
    await stream.aclose()


async def test_any_other_error_goes_on() -> None:
    stream = await a_stream()
    patient = PatientListener(FullListener(stream, [errno.EBADF]), lambda: None)
    with pytest.raises(OSError, match="Bad file"):
        await patient.accept()
    await stream.aclose()
