"""Files that peers fetch from each other, and serve to each other: only files that counted records name."""
