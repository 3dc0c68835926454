"""Commands that check an answer, a server or a file, and plan what checking costs."""
