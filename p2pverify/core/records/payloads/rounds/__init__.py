"""The records of training rounds."""
