"""The blind vote: members seal their answers to one question, and open them once nobody can seal any more."""
