"""Tests of settlement in the fold."""
