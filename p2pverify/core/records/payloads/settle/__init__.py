"""The payloads of records of money: pledges, cheques, and payments outside."""
