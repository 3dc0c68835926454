"""The capacity of this machine: its measured speed, and the length of epochs that it can sustain."""
