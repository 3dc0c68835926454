"""Lineage: recipes that are run again, and whether a version's weights follow from those of its parents."""
