"""Case studies: testnets whose peers train over real rows."""
