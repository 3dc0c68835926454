"""What Google's dp-accounting 0.6.0 says of Gaussian noise; tests/judges/test_budget.py computes it again."""

#: Noise multiplier (sigma over clip), steps, and the exponent of delta; then eps in millionths, rounded down.
ACCOUNTED = {
    (10, 10, 5): 1_308_497,
    (20, 10, 5): 615_801,
    (5, 20, 5): 4_161_624,
    (4, 6, 6): 3_021_644,
    (50, 100, 8): 1_082_464,
    (2, 1, 5): 2_165_715,
    (1, 1, 5): 4_728_507,
    (200, 10, 5): 51_489,
    (500, 10, 5): 18_607,
    (100, 1, 6): 38_473,
}
