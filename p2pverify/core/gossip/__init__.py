"""The gossipsub v1.2 router as a state machine without I/O."""
