"""Proofs for readers without the ledger: what follows from the network's definition and some signed bytes alone."""
