"""Lines in the fold: the versions of a model, their statuses, and which one each member serves."""
