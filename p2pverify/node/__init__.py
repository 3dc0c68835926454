"""The shell around the core: one loop that turns effects into calls, and the ports that adapters fulfil."""
