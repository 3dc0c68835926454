"""Disputes as one peer sees them: its own result, its votes and objections, and the evidence that it shows."""
