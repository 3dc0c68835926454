"""Calibration: what honest answers of one numeric path look like to a judge of another, and the thresholds for that.

`questions` poses what a network would ask, from seeds; `producers` has each path answer in a process of its own;
`fit` turns measures into thresholds and bounds; `run` puts them together. The measure itself, and what a verdict is,
are left to `core.inference.compare`.
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
