"""Settlement in the fold: what a cut pays, and which pledges, cheques and payments count."""
