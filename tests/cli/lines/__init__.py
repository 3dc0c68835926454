"""Tests of commands about versions."""
