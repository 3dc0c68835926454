"""What the committed vectors are made from; the tests themselves only read the files."""
