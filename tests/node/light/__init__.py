"""Tests of the light client."""
