"""What later cuts ask an earlier one: its roster, its votes and rounds, and the ids of the newest records."""
