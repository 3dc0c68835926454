"""Commands about training rounds."""
