"""Calibration: a judge on one numeric path measures honest answers of another path, and thresholds are fitted to them.

- `questions` makes questions like those of a network, from seeds.
- `producers` runs each path in its own process, where it answers.
- `fit` turns measures into thresholds and bounds.
- `run` does all of this in order.
- `adopt` makes the manifest of a model with it.

`core.inference.compare` defines the measure and the verdict.
"""

from p2pverify.engine.calibrate.fit import SAMPLES_MIN, fit, lower_bound_ppm, upper_bound_ppm
from p2pverify.engine.calibrate.questions import CALIBRATION, HELD_OUT, Posed, QuestionShape, pose
from p2pverify.engine.calibrate.run import Found, calibrate, summarise

__all__ = [
    "CALIBRATION",
    "HELD_OUT",
    "SAMPLES_MIN",
    "Found",
    "Posed",
    "QuestionShape",
    "calibrate",
    "fit",
    "lower_bound_ppm",
    "pose",
    "summarise",
    "upper_bound_ppm",
]
