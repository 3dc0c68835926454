"""The sampler: its generator, compared with published vectors, its logarithm, and its distribution."""

import numpy as np
import pytest

from p2pverify.engine import sampler

WORD = 2**64 - 1
# Known answers of Philox4x64-10 from the Random123 distribution (kat_vectors): counter, key, output.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B)),
    (
        (WORD, WORD, WORD, WORD),
        (WORD, WORD),
        (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0),
    ),
    (
        (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89),
        (0x452821E638D01377, 0xBE5466CF34E90C6C),
        (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
    ),
]


def philox(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """An independent implementation of Philox4x64-10."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        left, right = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (right >> 64) ^ c1 ^ k0, right & WORD, (left >> 64) ^ c3 ^ k1, left & WORD
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & WORD, (k1 + 0xBB67AE8584CAA73B) & WORD
    return c0, c1, c2, c3


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_philox_vectors(counter: tuple[int, ...], key: tuple[int, ...], output: tuple[int, ...]) -> None:
    """The reference in this file gives the published outputs."""
    assert philox(counter, key) == output


def test_gumbel_is_what_its_docstring_says() -> None:
    """Noise at a position follows from the counters (1, 0, 0, position), (2, 0, 0, position) and so on, four numbers
    each."""
    key = sampler.philox_key(sampler.ANSWER, b"k" * 32)
    words = [word for block in (1, 2, 3) for word in philox((block, 0, 0, 77), (key & WORD, key >> 64))]
    uniform = np.array([((word >> 12) + 0.5) / 2**52 for word in words])
    assert np.allclose(sampler.gumbel(key, 77, 12), -np.log(-np.log(uniform)), rtol=1e-10, atol=0)


def test_gumbel_bits_are_pinned() -> None:
    """The noise is defined to the bit, so these doubles are equal on every machine."""
    key = sampler.philox_key(sampler.PROMPT, bytes(16))
    assert f"{key:032x}" == "d276198f8cbf99faaa46fd6515f62a86"
    assert [value.hex() for value in sampler.gumbel(key, 3, 4).tolist()] == [
        "-0x1.312a7bbadc977p+0",
        "0x1.4942601c265ecp-2",
        "0x1.0177bbebe177bp-1",
        "0x1.ae74bb912686ap+0",
    ]


def test_gumbel_noise_of_a_prefix() -> None:
    """A smaller vocabulary gets the first numbers of a larger one. Another position gets other numbers."""
    assert (sampler.gumbel(5, 9, 100)[:10] == sampler.gumbel(5, 9, 10)).all()
    assert not (sampler.gumbel(5, 8, 10) == sampler.gumbel(5, 9, 10)).any()


def test_log_is_close_to_the_true_one() -> None:
    """The portable logarithm agrees with numpy's to 1e-13, also at the ends of its range."""
    edges = [2.0**-53, 1 - 2.0**-53, 2.0**-0.5, 1.0, 36.7]
    x = np.array([*edges, *np.geomspace(1e-16, 40, 10_001)])
    assert np.abs(sampler.log(x) - np.log(x)).max() < 1e-13


def test_domains_are_apart() -> None:
    """A prompt's noise differs from an answer's noise for equal keys."""
    assert sampler.philox_key(sampler.PROMPT, bytes(16)) != sampler.philox_key(sampler.ANSWER, bytes(16))


def test_greedy_takes_the_lowest_of_equals() -> None:
    """Ties go to the lowest index."""
    assert sampler.greedy(np.array([1, 3, 3, 2], np.float32)) == 1


@pytest.mark.parametrize("temperature_milli", [500, 1000, 2000])
def test_sample_draws_from_the_softmax(temperature_milli: int) -> None:
    """Over many positions the shares are those of softmax(logits / T), within four standard errors."""
    logits = np.array([0.0, 1.0, 2.0, -1.0], np.float32)
    draws = 4_000
    picks = [sampler.sample(logits, temperature_milli, 1, position) for position in range(draws)]
    share = np.bincount(picks, minlength=4) / draws
    expected = np.exp(logits.astype(np.float64) * 1000 / temperature_milli)
    expected /= expected.sum()
    assert (np.abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / draws)).all()


def test_sample_leaves_the_logits_alone() -> None:
    """Logits are a view of the engine's buffer, so sampling must not write to them."""
    logits = np.arange(8, dtype=np.float32)
    logits.flags.writeable = False
    assert sampler.sample(logits, 700, 3, 0) == sampler.sample(logits, 700, 3, 0)


@pytest.mark.parametrize("temperature_milli", [1, 300, 800, 1500, 100_000])
@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 8.0])
def test_picks_are_those_of_all_noise(temperature_milli: int, spread: float) -> None:
    """Leaving out tokens that cannot win changes no bit of token and margin."""
    rng = np.random.default_rng(3)
    for position in range(60):
        logits = (rng.normal(size=3000) * spread).astype(np.float32)
        noisy = sampler.gumbel(77, position, 3000) * (temperature_milli / 1000) + logits
        best, claimed = int(noisy.argmax()), int(rng.integers(3000))
        assert sampler.pick(logits, temperature_milli, 77, position, claimed) == (best, noisy[best] - noisy[claimed])
        assert sampler.sample(logits, temperature_milli, 77, position) == best


def test_noise_of_small_words_is_small() -> None:
    """The noise of left-out words is below the bound."""
    words = np.array([0, 1 << 63, int(sampler.LUCKY) - 1], np.uint64)
    assert sampler._noise(words).max() < sampler.UNLUCKY_NOISE_MAX


def test_low_temperature_is_greedy() -> None:
    """At a temperature of 0.001 the noise does not reach the next logit."""
    logits = np.array([1, 2, 9, 4], np.float32)
    assert {sampler.sample(logits, 1, 42, position) for position in range(100)} == {2}
