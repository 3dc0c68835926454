"""Whether the database holds what was written: inspection, repair, and a checkup."""
