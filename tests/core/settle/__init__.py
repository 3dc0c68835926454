"""Tests of settlement: arithmetic, books, rounds, and a second implementation."""
