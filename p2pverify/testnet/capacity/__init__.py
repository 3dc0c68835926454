"""What this machine can hold: its measured speed, and how long epochs must be."""
