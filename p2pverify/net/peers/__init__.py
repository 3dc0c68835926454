"""Where other peers are: signed addresses, the address book, and the exchange of both between peers."""
