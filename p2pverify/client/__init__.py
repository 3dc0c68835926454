"""What a program needs that asks a node, and that checks receipts and passports without one."""
