import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isp_gym.data import UnprocessSettings, load_scenes, unprocess
from isp_gym.data.unprocess import (
    add_noise,
    inverse_smoothstep,
    invert_gains,
    random_colour_matrix,
    random_inverse_gains,
    random_noise_level,
)

photos = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3)),
    elements=st.floats(-0.5, 1.5, width=32),
)
NO_NOISE = UnprocessSettings(shot_noise=(1e-12, 1e-12), read_noise_line=(1.0, -20.0))


def rng(seed=0):
    return np.random.default_rng(seed)


def photo(size=16, seed=1):
    return rng(seed).random((size, size, 3)).astype(np.float32)


@settings(deadline=None, max_examples=50)
@given(image=photos, seed=st.integers(0, 2**32 - 1))
def test_any_photo_gives_a_finite_image_of_the_unit_range(image, seed):
    before = image.copy()
    raw = unprocess(image, rng(seed))
    assert raw.shape == image.shape
    assert raw.dtype == np.float32
    assert np.isfinite(raw).all()
    assert raw.min() >= 0
    assert raw.max() <= 1
    assert np.array_equal(image, before)
    assert np.array_equal(raw, unprocess(image, rng(seed)))


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (4, 4, 4), (3, 4, 4), (1, 4, 4, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        unprocess(np.zeros(shape), rng())


def test_another_seed_is_another_shot():
    assert not np.array_equal(unprocess(photo(), rng(0)), unprocess(photo(), rng(1)))


def test_the_generator_moves_on():
    source = rng()
    assert not np.array_equal(unprocess(photo(), source), unprocess(photo(), source))


def test_two_sizes_of_one_photo_are_seen_by_the_same_camera():
    grey = {size: unprocess(np.full((size, size, 3), 0.7), rng(3), NO_NOISE)[0, 0] for size in (2, 9)}
    np.testing.assert_allclose(grey[2], grey[9], atol=1e-4)


def test_inverse_smoothstep_inverts_the_tone_curve():
    x = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(inverse_smoothstep(3 * x**2 - 2 * x**3), x, atol=1e-7)


def test_inverse_smoothstep_clips():
    assert inverse_smoothstep(np.array([-1.0, 2.0])).tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_colour_matrix_keeps_grey(seed):
    matrix = random_colour_matrix(rng(seed))
    np.testing.assert_allclose(matrix @ np.full(3, 0.4), 0.4, atol=1e-12)
    assert not np.allclose(matrix, np.eye(3), atol=0.05)


def test_colour_matrices_differ():
    assert not np.allclose(random_colour_matrix(rng(0)), random_colour_matrix(rng(1)), atol=1e-3)


class TestGains:
    GAINS = np.array([0.4, 0.8, 0.5])

    def test_white_stays_white(self):
        np.testing.assert_allclose(invert_gains(np.ones((1, 3)), self.GAINS, 0.9), 1.0)

    def test_below_the_knee_they_apply_in_full(self):
        np.testing.assert_allclose(invert_gains(np.full((1, 3), 0.9), self.GAINS, 0.9), [0.9 * self.GAINS])

    def test_they_fade_in_between(self):
        grey = np.linspace(0.9, 1.0, 50)[:, None].repeat(3, axis=1)
        out = invert_gains(grey, self.GAINS, 0.9)
        assert (np.diff(out, axis=0) > 0).all()

    def test_a_gain_above_one_is_always_applied(self):
        gains = np.array([0.5, 1.2, 0.5])
        np.testing.assert_allclose(invert_gains(np.ones((1, 3)), gains, 0.9), [[1.0, 1.2, 1.0]])

    def test_they_are_drawn_from_the_ranges_of_the_paper(self):
        drawn = np.array([random_inverse_gains(rng(seed), UnprocessSettings()) for seed in range(300)])
        red, blue = drawn[:, 1] / drawn[:, 0], drawn[:, 1] / drawn[:, 2]
        assert 1.9 <= red.min() < 1.95 < 2.35 < red.max() <= 2.4
        assert 1.5 <= blue.min() < 1.55 < 1.85 < blue.max() <= 1.9
        assert drawn[:, 1].mean() == pytest.approx(0.8, abs=0.02)
        assert drawn[:, 1].std() == pytest.approx(0.1, abs=0.02)

    def test_they_are_positive_whatever_is_drawn(self):
        wild = UnprocessSettings(digital_gain=(0.0, 5.0))
        assert all((random_inverse_gains(rng(seed), wild) > 0).all() for seed in range(20))


class TestNoise:
    @pytest.mark.parametrize("signal", [0.0, 0.1, 0.5])
    def test_variance_is_read_plus_shot_times_signal(self, signal):
        noise = add_noise(np.full((300, 300, 3), signal), 0.01, 0.002, rng()) - signal
        assert noise.mean() == pytest.approx(0, abs=5e-4)
        assert noise.var() == pytest.approx(0.002 + 0.01 * signal, rel=0.02)

    def test_pixels_and_channels_are_independent(self):
        noise = add_noise(np.zeros((100, 100, 3)), 0.01, 0.002, rng()).reshape(-1, 3)
        assert abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.05
        assert abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < 0.05

    def test_levels_lie_on_the_line_of_the_paper(self):
        levels = np.array([random_noise_level(rng(seed), UnprocessSettings()) for seed in range(500)])
        log_shot, log_read = np.log(levels).T
        assert levels[:, 0].min() >= 1e-4
        assert levels[:, 0].max() <= 1.2e-2
        assert (log_read - (2.18 * log_shot + 1.20)).std() == pytest.approx(0.26, abs=0.03)

    def test_it_reaches_the_image(self):
        noisy = UnprocessSettings(shot_noise=(0.01, 0.01))
        flat = np.full((64, 64, 3), 0.6)
        assert unprocess(flat, rng(), noisy).std(axis=(0, 1)).min() > 0.01
        assert unprocess(flat, rng(), NO_NOISE).std(axis=(0, 1)).max() < 1e-3


class TestLight:
    def test_white_shows_the_drawn_light(self):
        dimmed = UnprocessSettings(
            light=(0.25, 0.25), shot_noise=(1e-12, 1e-12), read_noise_line=(1.0, -20.0), digital_gain=(0.8, 0.0)
        )
        np.testing.assert_allclose(unprocess(np.ones((4, 4, 3)), rng(), dimmed), 0.25, atol=1e-3)

    def test_it_lies_in_its_range(self):
        low, high = UnprocessSettings().light
        whites = [unprocess(np.ones((8, 8, 3)), rng(seed), UnprocessSettings()).mean() for seed in range(60)]
        assert low * 0.8 < min(whites) < low * 1.5
        assert high * 0.8 < max(whites) < high * 1.2

    def test_a_photo_becomes_darker(self):
        assert unprocess(photo(), rng()).mean() < 0.5 * photo().mean()


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_mean_psnr_of_the_input_leaves_room_above_and_below(split):
    scenes = load_scenes(split=split, count=40, image_size=32)
    error = (scenes.images - scenes.targets).square().mean((1, 2, 3))
    assert 4 < (-10 * error.log10()).mean() < 9
