"""Models with a history: lines, releases with their files, and recipes."""
