"""Whether a node can listen at the addresses of its network, its API and its gateway."""

from collections.abc import Sequence

from p2pverify.api.bind import open_listener
from p2pverify.net.border.sockets import bind_all
from p2pverify.node.endpoints.address import listening_address
from p2pverify.node.endpoints.loopback import parse_bind, parse_gateway


def check_ports(listen: Sequence[str], http: str, gateway: str | None) -> None:
    """Check that a node can listen at its addresses, before a model is loaded. Raises ListenError or BindError.

    Call it in trio.
    """
    listeners = bind_all([listening_address(text) for text in listen])
    try:  # all are open at once, because they may name the same port
        local, _ = open_listener(parse_bind(http))
        try:
            if gateway is not None:
                open_listener(parse_gateway(gateway), option="--gateway")[0].close()
        finally:
            local.close()
    finally:
        for listener in listeners:
            listener.socket.close()
