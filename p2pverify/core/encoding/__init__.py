"""Bytes: canonical CBOR, hashes and Merkle trees, signatures, VRF proofs and peer ids."""
