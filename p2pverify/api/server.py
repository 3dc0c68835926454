"""The local API's server: anycorn on trio, shut down without a broken answer.

Cancelling a scope around anycorn's own `serve` breaks its lifespan handling, so it runs shielded and is told
to stop. Routes are in `app`, what a request must be in `gate`, where it may listen in `bind`.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

import anycorn
import trio
from anycorn.typing import Framework
from anyio.abc import TaskStatus as AnyioTaskStatus

from p2pverify.api.app import ROUTES, new_app
from p2pverify.api.bind import open_listener, parse_bind
from p2pverify.api.gate import Gate, allowed_hosts
from p2pverify.api.metrics import RequestCounts, new_registry
from p2pverify.node.ports import Reports

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

_DRAIN_S = 1.0  # how long answers under way may take once the server is told to stop
_IDLE_S = 15  # connections that say nothing for so long are closed
_TOKEN_CHARS_MIN = 32


async def serve(
    reports: Reports,
    *,
    bind: str,
    token: str,
    on_leave: Callable[[], None],
    task_status: "TaskStatus[str]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the API until cancelled; reports the URL ("http://127.0.0.1:4100") once it listens.

    Raises BindError for an address that is not loopback or not free.
    """
    assert len(token) >= _TOKEN_CHARS_MIN
    listener, bound = open_listener(parse_bind(bind))
    requests = RequestCounts()
    registry = new_registry(reports, requests)
    gate = Gate(
        new_app(reports, registry, token=token, on_leave=on_leave),
        hosts=allowed_hosts(bound.port),
        routes=ROUTES,
        requests=requests,
    )
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(
                partial(_run_shielded, cast("Framework", gate), _config(listener.detach()), stop)
            )
            task_status.started(bound.url)
            await trio.sleep_forever()
        finally:
            stop.set()


async def _run_shielded(
    app: Framework,
    config: anycorn.Config,
    stop: trio.Event,
    *,
    task_status: AnyioTaskStatus[list[str]],
) -> None:
    with trio.CancelScope(shield=True):
        await anycorn.serve(app, config, shutdown_trigger=stop.wait, task_status=task_status, mode="asgi")


def _config(descriptor: int) -> anycorn.Config:
    log = logging.getLogger("p2pverify.api.http")
    log.setLevel(logging.ERROR)
    config = anycorn.Config()
    config.bind = [f"fd://{descriptor}"]
    config.accesslog = None
    config.errorlog = log
    config.include_server_header = False
    config.graceful_timeout = _DRAIN_S
    config.read_timeout = _IDLE_S
    config.keep_alive_timeout = _IDLE_S
    config.shutdown_timeout = _DRAIN_S
    return config
