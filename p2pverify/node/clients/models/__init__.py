"""The models of a network as clients of one node see them: their names, their languages, and who is asked."""
