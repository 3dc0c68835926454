"""The node's part in training rounds: it carries out the machine's orders, and keeps and serves blobs of rounds."""
