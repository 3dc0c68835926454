"""Circuits: connections to peers that nobody can dial, through a relay that both can (libp2p specs, circuit v2)."""
