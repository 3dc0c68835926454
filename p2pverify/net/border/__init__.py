"""The border to libp2p: the host, links and streams, made safe, and with limits on connections."""
