"""What a peer does with money: as the creditor of those whom it answers, and as the debtor of those who answer it."""
