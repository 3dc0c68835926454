"""What a round costs of the privacy budget of a data set."""

from p2pverify.core.contract.history.training import DP, TrainingRule
from p2pverify.core.data.budget import step_rho


def round_rho(rule: TrainingRule) -> int:
    """The rho (zCDP, in 1e-9) of one round: one noisy step, or nothing without noise."""
    return step_rho(rule.row_clip_q16, rule.sigma) if rule.trainer == DP else 0
