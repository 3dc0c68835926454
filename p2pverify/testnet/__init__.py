"""Local testnets: scenarios, cheats, and a runner with real processes."""
