"""The lazy import of libp2p loads little, and everything can still be used."""

import subprocess
import sys

HEAVY = ("aioquic", "httpx", "requests", "zeroconf", "grpc", "prometheus_client", "libp2p.network.swarm")


def _run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_heavy_parts_are_not_loaded():
    """Importing the network adapter loads neither other transports nor HTTP clients."""
    loaded = _run("import sys, p2pverify.net.adapter; print(*sys.modules)")
    assert "libp2p.stream_muxer.yamux.yamux" in loaded
    assert not set(HEAVY) & set(loaded)


def test_the_whole_library_can_still_be_had():
    """After the lazy import, names of the real packages are found, and a host of the library works."""
    code = (
        "import p2pverify.net.adapter, libp2p\n"
        "from libp2p.transport.quic.stream import QUICStream\n"
        "host = libp2p.new_host()\n"
        "print(host.get_id(), QUICStream.__module__, hasattr(libp2p, 'no_such_name'))"
    )
    peer, _, missing = _run(code)
    assert peer.startswith("12D3Koo")
    assert missing == "False"


def test_a_library_that_is_loaded_first_is_used():
    """If libp2p was imported earlier, it stays loaded, and this package works with it."""
    code = (
        "import libp2p\n"
        "from p2pverify.net.border import lazy_import\n"
        "print(lazy_import.defer_packages(), libp2p.new_host().get_id())"
    )
    assert _run(code)[0] == "False"
