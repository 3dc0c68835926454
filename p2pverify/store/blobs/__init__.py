"""Large files on disk, by SHA-256."""
