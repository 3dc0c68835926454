"""Engines at work: the job queue of an engine, and the determinism class of a machine."""
