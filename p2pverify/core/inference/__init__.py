"""A question and its answer: how they are encoded, compared, explained and timed."""
