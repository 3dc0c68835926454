"""A DNS server for tests, on loopback over UDP and TCP. It knows TXT records only."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import trio

if TYPE_CHECKING:
    from trio_typing import TaskStatus

_UDP_BYTES = 1232


def _reply(zone: Mapping[str, Sequence[bytes]], query: bytes) -> dns.message.Message:
    question = dns.message.from_wire(query)
    reply = dns.message.make_response(question)
    name = question.question[0].name
    texts = zone.get(name.to_text(omit_final_dot=True))
    if texts is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply
    records = [" ".join(f'"{text[at : at + 255].decode()}"' for at in range(0, len(text), 255)) for text in texts]
    if records:
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *records))
    return reply


async def serve(zone: Mapping[str, Sequence[bytes]], *, task_status: "TaskStatus[dns.resolver.Resolver]") -> None:
    """Serve until cancelled. Reports a resolver that asks this server."""
    (tcp,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = tcp.socket.getsockname()[1]
    udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await udp.bind(("127.0.0.1", port))
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], port

    async def serve_udp() -> None:
        while True:
            query, sender = await udp.recvfrom(4096)
            reply = _reply(zone, query)
            if len(reply.to_wire()) > _UDP_BYTES:
                reply.answer.clear()
                reply.flags |= dns.flags.TC
            await udp.sendto(reply.to_wire(), sender)

    async def serve_tcp(stream: trio.SocketStream) -> None:
        async with stream:
            data = b""
            while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
                data += await stream.receive_some()
            wire = _reply(zone, data[2:]).to_wire()
            await stream.send_all(len(wire).to_bytes(2, "big") + wire)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_udp)
        nursery.start_soon(trio.serve_listeners, serve_tcp, [tcp])
        task_status.started(resolver)
