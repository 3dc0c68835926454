"""The records by which a member moves to another key, and changes its VRF key."""
