"""The gossipsub v1.1 router as a state machine without I/O."""
