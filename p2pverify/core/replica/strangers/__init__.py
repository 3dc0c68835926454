"""Records of authors that are not members: how many are held, and which of them proposals call for."""
