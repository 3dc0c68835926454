"""A training rule, and what makes it one with noise."""

from dataclasses import replace
from typing import Any

from p2pverify.core.contract.history.lora import LORA, LoraRule
from p2pverify.core.contract.history.training import DP, KEEP, SGD, TRIMMED, TrainingRule

KEYS = [bytes([number]) * 32 for number in range(33)]
RULE = TrainingRule(
    *(SGD, 1, b"\x05" * 32, tuple((key, house) for house, key in enumerate(KEYS[:5]))),
    rounds=6,
    seal_cuts=2,
    open_cuts=2,
    held_rows=8,
    hidden=0,
    batch=16,
    epochs=3,
    lr_q16=6554,
    decay_q16=7,
    clip_q16=3 << 16,
    aggregate=TRIMMED,
    f=1,
    sigma=0,
    row_clip_q16=0,
    delta_exponent=0,
    gain_min=0,
    gain_full=20_000,
    mark_below=2000,
    quarantine_rounds=8,
    erasure_policy=KEEP,
)
#: `replace(RULE, **ADAPTED)` is the same rule for a language model.
ADAPTED: dict[str, Any] = {
    "trainer": LORA,
    "lora": LoraRule(8, 64, 2, "torch-2.13.0+cpu/x86-64-avx2/t1", b"\x06" * 32),
}
#: `replace(RULE, **NOISE)` is the same rule with noise.
NOISE: dict[str, Any] = {
    "trainer": DP,
    "batch": 0,
    "epochs": 0,
    "sigma": 50_000,
    "row_clip_q16": 1 << 16,
    "delta_exponent": 5,
}


def with_lora(rule: TrainingRule, **changes: Any) -> TrainingRule:
    """A rule of a language model with other fields of its last item."""
    assert rule.lora is not None
    return replace(rule, lora=replace(rule.lora, **changes))
