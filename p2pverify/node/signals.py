"""The signals that end a node."""

import logging
import signal
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

log = logging.getLogger(__name__)


async def watch_signals(*, task_status: "TaskStatus[trio.Event]" = trio.TASK_STATUS_IGNORED) -> None:
    """Set an event when a signal tells the process to end. The event is the value with which this task starts."""
    stop = trio.Event()
    ending = [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks to ignore it
        ending.append(signal.SIGHUP)
    with trio.open_signal_receiver(*ending) as signals:
        task_status.started(stop)
        async for number in signals:
            log.info("%s: shutting down", signal.Signals(number).name)
            stop.set()
