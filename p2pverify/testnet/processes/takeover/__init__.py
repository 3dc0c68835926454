"""A majority that is bought: the runner's part in it, and the verdict on the honest peers."""
