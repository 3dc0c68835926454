"""Whether the database holds what was written: inspection, repair, and the command that looks."""
