"""The training loss, and the PSNR of validation."""

import numpy as np
import pytest
import torch

from dynet.training.losses import PixelLoss, frequency_loss, psnr, training_loss


def test_the_loss_has_a_gradient_beyond_0_and_1() -> None:
    restored = torch.tensor([[-0.5, 1.5]], requires_grad=True)
    training_loss(restored, torch.tensor([[0.5, 0.5]])).backward()
    assert restored.grad is not None
    assert restored.grad.tolist() == [[-0.5, 0.5]]


def test_the_frequency_loss_equals_the_spectrum_of_numpy() -> None:
    one, two = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 3, 12, 10)
    spectrum = np.fft.rfft2(one.numpy().astype(np.float64), norm="ortho")
    expected = np.mean(np.stack([np.abs(spectrum.real), np.abs(spectrum.imag)]))
    assert float(frequency_loss(one, two)) == pytest.approx(expected, rel=1e-5)
    assert float(training_loss(one, two, 0.5)) == pytest.approx(float(one.mean()) + 0.5 * expected, rel=1e-5)


def test_the_log_loss_is_that_of_numpy_and_balances_the_gradients_of_the_images() -> None:
    clean = torch.full((2, 3, 8, 8), 0.5)
    offsets = torch.tensor([0.001, 0.1]).reshape(2, 1, 1, 1)
    restored = (clean + offsets).requires_grad_()
    loss = training_loss(restored, clean, log_scale=0.002)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.002 * np.log1p(np.array([0.5, 50.0])).mean(), rel=1e-4)
    assert restored.grad is not None
    slight, strong = (float(restored.grad[index].sum()) for index in (0, 1))
    assert slight / strong == pytest.approx((1 + 50) / (1 + 0.5), rel=1e-3)


def test_the_log_loss_contains_the_frequency_loss_and_tends_to_the_plain_loss() -> None:
    one, two = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 3, 12, 10)
    plain = float(training_loss(one, two, 0.5))
    assert float(training_loss(one, two, 0.5, log_scale=1e4)) == pytest.approx(plain, rel=1e-4)
    assert float(training_loss(one, two, 0.5, log_scale=0.1)) < plain


def test_the_loss_of_squares_is_least_for_the_mean_and_in_the_logarithm_it_is_psnr() -> None:
    possible = torch.tensor([0.0, 0.0, 1.0]).reshape(1, 3, 1, 1)
    outputs = torch.linspace(0, 1, 31).tolist()

    def best(pixels: PixelLoss) -> float:
        return min(
            outputs, key=lambda value: float(training_loss(torch.full((1, 3, 1, 1), value), possible, pixels=pixels))
        )

    assert (best("l1"), best("rmse")) == (0.0, pytest.approx(1 / 3, abs=1e-6))
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(2, 3, 8, 8, generator=generator)
    restored = (
        clean + torch.tensor([0.001, 0.1]).reshape(2, 1, 1, 1) * torch.randn(clean.shape, generator=generator)
    ).clamp(0, 1)
    scale = 1e-9
    loss = float(training_loss(restored, clean, log_scale=scale, pixels="rmse")) / scale
    assert loss == pytest.approx(-float(psnr(restored, clean).mean()) * np.log(10) / 20 - np.log(scale), rel=1e-4)


def test_in_the_logarithm_of_squares_large_errors_count_as_by_their_root_and_tiny_ones_hardly() -> None:
    clean, scale = torch.full((1, 3, 8, 8), 0.5), 0.003

    def gradient(error: float, pixels: PixelLoss) -> float:
        restored = (clean + error).requires_grad_()
        training_loss(restored, clean, log_scale=scale, pixels=pixels).backward()
        assert restored.grad is not None
        return float(restored.grad.norm())

    assert gradient(0.3, "mse") == pytest.approx(gradient(0.3, "rmse"), rel=0.02)
    assert gradient(scale / 30, "mse") < 0.04 * gradient(scale / 30, "rmse")
    assert gradient(0.3, "mse") > 0.25 * gradient(scale / 30, "mse")
    value = float(training_loss(clean + 0.1, clean, log_scale=scale, pixels="mse"))
    assert value == pytest.approx(scale / 2 * np.log1p(0.01 / scale**2), rel=1e-4)
    assert float(training_loss(clean + 0.1, clean, pixels="mse")) == pytest.approx(0.01, rel=1e-4)


def test_the_frequency_loss_is_float32_under_bfloat16() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = frequency_loss(torch.ones(1, 3, 8, 8, dtype=torch.bfloat16), torch.zeros(1, 3, 8, 8))
    assert loss.dtype == torch.float32


def test_psnr_equals_that_of_scikit_image_on_clipped_images() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    generator = torch.Generator().manual_seed(1)
    clean = torch.rand(2, 3, 9, 9, generator=generator)
    restored = clean + 0.3 * torch.randn(clean.shape, generator=generator)
    for value, a, b in zip(psnr(restored, clean), restored.clamp(0, 1), clean, strict=True):
        assert float(value) == pytest.approx(
            metrics.peak_signal_noise_ratio(b.numpy(), a.numpy(), data_range=1), abs=1e-4
        )
    assert psnr(clean, clean).tolist() == [100, 100]
