"""The homes of a testnet's peers: what they are given before they start, and what they hold while they run."""
