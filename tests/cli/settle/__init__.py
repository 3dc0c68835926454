"""Tests of accounts on the command line."""
