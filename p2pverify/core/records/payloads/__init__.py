"""The payload of each record kind: its fields, its decoder and its rule."""
