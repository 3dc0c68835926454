"""Tests of reports about lines, downloads and papers."""
