"""Audits of answers that clients got: any stored receipt can be scored again later, in secret."""
