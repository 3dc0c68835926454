"""Makes the committed vectors. The tests themselves only read the files."""
