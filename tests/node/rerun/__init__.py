"""Tests of running decisions again."""
