"""Margins and surprisals of claimed tokens, from logits made by hand."""

import numpy as np
import pytest

from p2pverify.engine import sampler
from p2pverify.engine.margins import margin, surprisal

KEY = sampler.philox_key(sampler.ANSWER, bytes(32))
LOGITS = np.array([0.5, 3.0, 2.75, -1.0], np.float32)


def test_greedy_margins() -> None:
    """The deficit is the distance from the greatest logit, which has deficit 0."""
    assert [margin(LOGITS, token, 0, KEY, 0)[0] for token in range(4)] == [2_500_000, 0, 250_000, 4_000_000]
    assert margin(LOGITS, 3, 0, KEY, 0)[2] == 1


@pytest.mark.parametrize("temperature_milli", [1, 800, 2000])
def test_the_sampler_is_replayed(temperature_milli: int) -> None:
    """At each position the sampled token has deficit 0 and is the expected token. All others have positive deficits."""
    logits = np.linspace(-2, 2, 97, dtype=np.float32)
    for position in range(50):
        token = sampler.sample(logits, temperature_milli, KEY, position)
        found = [margin(logits, other, temperature_milli, KEY, position) for other in range(97)]
        assert found[token][0] == 0
        assert {best for _, _, best in found} == {token}
        assert min(deficit for other, (deficit, _, _) in enumerate(found) if other != token) >= 0


def test_noise_counts_in_logit_units() -> None:
    """A sampled deficit is a difference of logit + T * noise."""
    noise = sampler.gumbel(KEY, 9, 4) * 0.7 + LOGITS
    expected = round((noise.max() - noise[2]) * 1e6)
    assert margin(LOGITS, 2, 700, KEY, 9)[0] == expected


def test_surprisals() -> None:
    """The surprisal is -log softmax at temperature 1, whatever the question's temperature is."""
    shares = np.exp(LOGITS.astype(np.float64))
    expected = -np.log(shares / shares.sum())
    for token in range(4):
        assert abs(surprisal(LOGITS, token) - expected[token]) < 1e-8
        assert margin(LOGITS, token, 900, KEY, 3)[1] == round(surprisal(LOGITS, token) * 1e6)


def test_logits_are_left_alone() -> None:
    """Logits are a view of the engine's buffer, so they must not change."""
    logits = LOGITS.copy()
    logits.flags.writeable = False
    margin(logits, 0, 500, KEY, 0)
    assert np.array_equal(logits, LOGITS)
