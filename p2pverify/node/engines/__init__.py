"""Engines at work: the queue before one, and the determinism class of a machine."""
