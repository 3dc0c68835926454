"""Where libp2p begins: the host, links and streams, hardened and with limits on connections."""
