"""Adapters to formats of other projects: signatures, provenance, bills of materials, cards and layouts of models.

Writers take plain facts about a version, and readers take bytes of strangers. Nothing of a format enters the core. The
README of this folder has a table of the formats.
"""
