"""From audits to agreements and dissents: who was asked, what was owed, and what a vote decides."""
