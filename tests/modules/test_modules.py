"""Every module of every bank: one class a module, with a family of tests that all share."""

import pytest
import torch

from isp_gym.modules import BANKS, MODULE_NAMES, plain

# Greys, black, white, primaries, ties, just off grey, and values that only unclamped modules produce.
CORNERS = torch.tensor(
    [[v, v, v] for v in (0.0, 1e-7, 0.25, 0.5, 1.0, 11.0, -0.5)]
    + [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0, 1.0, 1.0], [0.5, 0.5, 0.2], [0.5, 0.5 + 1e-7, 0.5], [2.0, -1.0, 0.3]]
).T.reshape(1, 3, 2, 7)


def find(bank, name):
    return BANKS[bank][MODULE_NAMES.index(name)]


def neutral(module, count, dtype=torch.float32):
    return torch.tensor([p.normalised_neutral for p in module.parameters], dtype=dtype).expand(count, -1)


def run(module, images, params):
    return module.apply(images, module.physical(params))


class Family:
    """What holds for all modules; a subclass names one and adds what only it does."""

    name = ""
    gradcheck_size = (6, 7)

    @pytest.fixture(params=list(BANKS))
    def module(self, request):
        return find(request.param, self.name)

    def safe(self, module, count=2):
        """Parameters (float64) at which nothing clamps for images between .3 and .7."""
        generator = torch.Generator().manual_seed(3)
        width = len(module.parameters)
        spread = torch.rand(count, width, generator=generator, dtype=torch.float64) - 0.5
        return (neutral(module, count, torch.float64) + 0.1 * spread).clamp(0.02, 0.98)

    def test_gradcheck(self, module):
        generator = torch.Generator().manual_seed(1)
        images = torch.rand(2, 3, *self.gradcheck_size, generator=generator, dtype=torch.float64) * 0.4 + 0.3
        inputs = images.requires_grad_(), self.safe(module).requires_grad_()
        assert torch.autograd.gradcheck(lambda x, p: run(module, x, p), inputs)

    def test_gradients_are_finite_everywhere(self, module):
        for value in (0.0, 0.5, 1.0, None):
            params = neutral(module, 1).clone() if value is None else torch.full((1, len(module.parameters)), value)
            images = CORNERS.clone().requires_grad_()
            output = run(module, images, params.requires_grad_())
            grads = torch.autograd.grad(output.square().sum(), (images, params))
            assert output.isfinite().all() and all(grad.isfinite().all() for grad in grads)

    def test_equals_the_straightforward_form(self):
        """Values and gradients, for parameters and images of all kinds; not at ties, where gradients are a choice."""
        module = find("reference", self.name)
        generator = torch.Generator().manual_seed(5)
        images = torch.rand(3, 3, 17, 14, generator=generator, dtype=torch.float64) * 1.2 - 0.1
        params = torch.rand(3, len(module.parameters), generator=generator, dtype=torch.float64)
        weight = torch.rand(images.shape, generator=generator, dtype=torch.float64)
        found = []
        for function in (module.apply, lambda x, p: plain.apply(self.name, x, p)):
            x, p = images.clone().requires_grad_(), params.clone().requires_grad_()
            output = function(x, module.physical(p))
            found.append((output, *torch.autograd.grad((output * weight).sum(), (x, p))))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8 * theirs.abs().max().item())

    def test_stable_bank_starts_from_the_identity(self):
        module = find("stable", self.name)
        images = torch.rand(2, 3, 9, 8, generator=torch.Generator().manual_seed(2))
        images[0, :, :4] = images[0, :1, :4]
        images[1] = 0.5 + 0.01 * images[1]
        torch.testing.assert_close(run(module, images, neutral(module, 2)), images, rtol=0, atol=2e-6)

    @pytest.mark.parametrize("size", [(3, 3), (5, 7), (13, 11)])
    def test_not_a_bit_depends_on_the_batch(self, module, size):
        generator = torch.Generator().manual_seed(6)
        images = torch.rand(5, 3, *size, generator=generator)
        params = torch.rand(5, len(module.parameters), generator=generator)
        alone = [run(module, images[i : i + 1], params[i : i + 1]) for i in range(5)]
        assert torch.equal(run(module, images, params), torch.cat(alone))

    def test_gradients_do_not_change_a_bit(self, module):
        generator = torch.Generator().manual_seed(7)
        images = torch.rand(4, 3, 13, 11, generator=generator)
        params = torch.rand(4, len(module.parameters), generator=generator)
        with torch.no_grad():
            plain = run(module, images, params)
        assert torch.equal(run(module, images.requires_grad_(), params.requires_grad_()), plain)

    def test_blocks_make_no_difference(self, module, monkeypatch):
        """All images at once, some at a time, and parts of one."""
        generator = torch.Generator().manual_seed(4)
        images = torch.rand(3, 3, 19, 16, generator=generator, dtype=torch.float64)
        params = torch.rand(3, len(module.parameters), generator=generator, dtype=torch.float64)
        found = []
        for pixels in (2**17, 19 * 16 * 2, 16 * 5):
            monkeypatch.setattr("isp_gym.modules.blocks.BLOCK", pixels)
            x, p = images.clone().requires_grad_(), params.clone().requires_grad_()
            output = run(module, x, p)
            found.append((output, *torch.autograd.grad(output.square().sum(), (x, p))))
        for other in found[1:]:
            for a, b in zip(found[0], other, strict=True):
                torch.testing.assert_close(a, b)

    def test_declaration(self, module):
        assert module.name == self.name
        assert len(module.parameters) == len(find("reference", self.name).parameters)
        for parameter in module.parameters:
            assert parameter.low < parameter.high and 0 <= parameter.normalised_neutral <= 1


def test_every_module_has_its_class():
    assert sorted(family.name for family in Family.__subclasses__()) == sorted(MODULE_NAMES)


class TestExposure(Family):
    name = "exposure"

    def test_a_stop_doubles(self):
        images = torch.rand(2, 3, 4, 4)
        ev = torch.tensor([[1.0], [-2.0]])
        torch.testing.assert_close(
            find("stable", "exposure").apply(images, ev), images * torch.tensor([2, 0.25]).view(2, 1, 1, 1)
        )


class TestGamma(Family):
    name = "gamma"

    def test_stable_range_is_symmetric(self):
        module = find("stable", "gamma")
        low, high = module.physical(torch.tensor([[0.2], [0.8]])).flatten()
        assert low * high == pytest.approx(1)


class TestCCM(Family):
    name = "ccm"

    def test_stable_matrices_keep_white_and_are_far_from_singular(self):
        params = torch.cat([torch.rand(2000, 9), torch.randint(0, 2, (2000, 9)).float()])
        matrices = find("stable", "ccm").physical(params).unflatten(1, (3, 3))
        torch.testing.assert_close(matrices.sum(2), torch.ones(4000, 3))
        diagonal = matrices.diagonal(dim1=1, dim2=2)
        assert (diagonal > (matrices.abs().sum(2) - diagonal)).all()
        assert matrices.abs().max() <= 3.0001 and torch.linalg.det(matrices).min() > 0.1

    def test_stable_reaches_a_camera_matrix(self):
        row = torch.tensor([0.75, -0.25, -0.25 / 3])
        torch.testing.assert_close(row / row.sum(), torch.tensor([1.8, -0.6, -0.2]))
        ranges = [(p.low, p.high) for p in find("stable", "ccm").parameters[:3]]
        assert all(low <= value <= high for value, (low, high) in zip(row.tolist(), ranges, strict=True))


class TestSharpen(Family):
    name = "sharpen"

    def test_border_stays_and_edges_grow(self, module):
        images = torch.full((1, 3, 8, 9), 0.3)
        images[..., 4:] = 0.6
        output = module.apply(images, torch.tensor([[2.0]]))
        assert torch.equal(output[..., 0, :], images[..., 0, :]) and torch.equal(output[..., -1], images[..., -1])
        assert (output[..., 1:-1, 3] < 0.3).all() and (output[..., 1:-1, 4] > 0.6).all()

    def test_images_too_small_for_an_inside(self, module):
        images = torch.rand(1, 3, 2, 5)
        assert torch.equal(module.apply(images, torch.tensor([[5.0]])), images)


class TestDenoise(Family):
    name = "denoise"
    gradcheck_size = (3, 4)

    def test_noise_falls_and_edges_stay(self):
        clean = torch.full((1, 3, 32, 32), 0.2)
        clean[..., 16:] = 0.8
        noisy = clean + 0.02 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        output = find("reference", "denoise").apply(noisy, torch.tensor([[0.1]]))
        assert (output - clean).square().mean() < 0.1 * (noisy - clean).square().mean()

    def test_weights_may_vanish(self):
        """The narrowest weights, of images as different from pixel to pixel as can be, leave the images alone."""
        images = torch.rand(2, 3, 16, 15, generator=torch.Generator().manual_seed(0)).round().requires_grad_()
        h = torch.full((2, 1), 1e-5, requires_grad=True)
        output = find("reference", "denoise").apply(images, h)
        torch.testing.assert_close(output, images)
        grads = torch.autograd.grad(output.sum(), (images, h))
        torch.testing.assert_close(grads[0], torch.ones_like(images))
        assert grads[1].isfinite().all()

    def test_borders_are_circular(self, module):
        images = torch.rand(1, 3, 13, 12)
        values = torch.tensor([[0.4]])
        moved = module.apply(images.roll((3, 5), (2, 3)), values)
        torch.testing.assert_close(moved, module.apply(images, values).roll((3, 5), (2, 3)))


class TestTone(Family):
    name = "tone"

    def test_equal_slopes_clip(self, module):
        images = torch.linspace(-0.5, 1.5, 60).view(1, 3, 4, 5)
        torch.testing.assert_close(module.apply(images, torch.full((1, 8), 1.7)), images.clamp(0, 1), rtol=0, atol=1e-6)


class TestContrast(Family):
    name = "contrast"

    def test_dark_falls_and_bright_rises(self, module):
        images = torch.tensor([0.2, 0.8]).expand(1, 3, 1, 2)
        output = module.apply(images, torch.tensor([[1.0]]))
        assert (output[..., 0] < 0.2).all() and (output[..., 1] > 0.8).all()


class TestSaturation(Family):
    name = "saturation"

    def test_greys(self):
        """The reference paints grey red, the stable bank does not."""
        grey = torch.full((1, 3, 1, 1), 0.5)
        red = find("reference", "saturation").apply(grey, torch.ones(1, 1)).flatten()
        torch.testing.assert_close(red, torch.tensor([0.5, 0.3, 0.3]))
        for gain in (0.25, 4.0):
            output = find("stable", "saturation").apply(CORNERS[..., :1, :], torch.full((1, 1), gain))
            torch.testing.assert_close(output, CORNERS[..., :1, :].clamp(0, 1), rtol=0, atol=1e-6)

    def test_stable_gain_undoes_its_inverse(self):
        apply = find("stable", "saturation").apply
        images = torch.rand(1, 3, 9, 9)
        back = apply(apply(images, torch.full((1, 1), 3.0)), torch.full((1, 1), 1 / 3))
        torch.testing.assert_close(back, images, rtol=0, atol=1e-5)


class TestDesaturation(Family):
    name = "desaturation"

    def test_one_is_grey(self, module):
        output = module.apply(torch.rand(1, 3, 5, 5), torch.ones(1, 1))
        torch.testing.assert_close(output[:, :1].expand_as(output), output)


class TestWhiteBalance(Family):
    name = "white_balance"

    def test_luminance_of_white_stays(self, module):
        output = module.apply(torch.ones(4, 3, 2, 2), torch.rand(4, 3) + 0.5)
        lum = 0.27 * output[:, 0] + 0.67 * output[:, 1] + 0.06 * output[:, 2]
        torch.testing.assert_close(lum, torch.ones_like(lum), rtol=0, atol=1e-5)

    def test_stable_reaches_camera_gains(self):
        scales = find("stable", "white_balance").parameters
        for gains in ((2.4, 1.0, 1.5), (1.9, 1.0, 1.9), (1.2, 1.0, 3.5)):
            middle = (max(gains) * min(gains)) ** 0.5
            assert all(p.low <= gain / middle <= p.high for gain, p in zip(gains, scales, strict=True))
