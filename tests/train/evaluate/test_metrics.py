"""The metrics against scikit-image, plain definitions and the authors' own figures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from authors_reference import loss_reference, photos_from_nhwc
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from dped_train.evaluate.metrics import (
    luma,
    mean_squared_error,
    ms_ssim,
    ms_ssim_levels,
    ms_ssim_of_batch,
    psnr,
    psnr_from_mse,
    psnr_y,
    ssim,
    ssim_gaussian,
    ssim_y,
)


def pair(size: tuple[int, int] = (33, 40), noise: float = 0.1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(3, 3, *size, generator=generator)
    return first, (first + noise * torch.randn(first.shape, generator=generator)).clamp(0, 1)


def nhwc(photos: Tensor) -> np.ndarray:
    return photos.permute(0, 2, 3, 1).double().numpy()


def test_psnr_is_scikit_images() -> None:
    first, second = pair()
    wanted = [peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(nhwc(first), nhwc(second), strict=True)]
    assert psnr(first, second).tolist() == pytest.approx(wanted, abs=1e-9)


def test_equal_patches_have_the_best_figures() -> None:
    first, _ = pair()
    assert psnr(first, first).tolist() == [torch.inf] * 3
    assert ssim(first, first).tolist() == pytest.approx([1] * 3, abs=1e-12)
    assert ms_ssim(first, first).tolist() == pytest.approx([1] * 3, abs=1e-12)


@pytest.mark.parametrize("size", [(7, 7), (33, 40), (100, 100)])
def test_ssim_is_scikit_images(size: tuple[int, int]) -> None:
    first, second = pair(size)
    wanted = [
        structural_similarity(a, b, data_range=1, channel_axis=-1)
        for a, b in zip(nhwc(first), nhwc(second), strict=True)
    ]
    assert ssim(first, second).tolist() == pytest.approx(wanted, abs=1e-10)


def test_ssim_with_a_gaussian_window_is_scikit_images() -> None:
    first, second = pair()
    wanted = [
        structural_similarity(
            a, b, data_range=1, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for a, b in zip(nhwc(first), nhwc(second), strict=True)
    ]
    assert ssim_gaussian(first, second).tolist() == pytest.approx(wanted, abs=1e-10)
    assert abs(ssim(first, second)[0] - wanted[0]) > 1e-3  # another window, another figure
    with pytest.raises(ValueError, match="smaller than SSIM's window of 11"):
        ssim_gaussian(*pair((10, 20)))


def test_luma_is_that_of_8_bit_video() -> None:
    """Black is 16, white 235; the figures on it are those of a gray photo."""
    colours = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]])[:, :, None, None]
    assert (luma(colours).flatten() * 255).tolist() == pytest.approx([16, 235, 81.481])
    first, second = pair()
    gray = [np.asarray(nhwc(photo) @ (65.481, 128.553, 24.966) + 16) for photo in (first, second)]
    for index in range(3):
        a, b = gray[0][index], gray[1][index]
        wanted = structural_similarity(
            a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert ssim_y(first, second)[index].item() == pytest.approx(wanted, abs=1e-10)
        wanted = peak_signal_noise_ratio(a, b, data_range=255)
        assert psnr_y(first, second)[index].item() == pytest.approx(wanted, abs=1e-9)


def test_ssim_refuses_patches_smaller_than_its_window() -> None:
    with pytest.raises(ValueError, match="smaller than SSIM's window of 7"):
        ssim(*pair((6, 20)))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(2, 3, 8, 8))


def test_ms_ssim_of_one_pixel_by_hand() -> None:
    """At 1x1 every window is the pixel itself: no contrast, and luminance alone at the coarsest scale."""
    first, second = torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), 0.25)
    luminance = (2 * 0.5 * 0.25 + 1e-4) / (0.5**2 + 0.25**2 + 1e-4)
    assert ms_ssim(first, second).item() == pytest.approx(luminance**0.1333, rel=1e-9)


def test_ms_ssim_halves_with_the_last_column_repeated() -> None:
    """A photo whose odd last column equals the one before has the coarser levels of the photo with both columns."""
    first, second = pair((32, 32))
    odd = [torch.cat((photo[..., :30], photo[..., 30:31]), 3) for photo in (first, second)]
    even = [torch.cat((photo, photo[..., -1:]), 3) for photo in odd]
    torch.testing.assert_close(ms_ssim_levels(*odd).contrast[:, 1:], ms_ssim_levels(*even).contrast[:, 1:])


def test_opposite_patches_have_no_similarity_instead_of_nan() -> None:
    first, _ = pair((40, 40))
    assert ms_ssim(first, 1 - first).tolist() == [0] * 3


def test_metrics_of_one_patch_do_not_depend_on_the_others() -> None:
    first, second = pair()
    for metric in (psnr, ssim, ms_ssim):
        torch.testing.assert_close(metric(first, second)[1:2], metric(first[1:2], second[1:2]))


@pytest.mark.realdata
@pytest.mark.parametrize("case", ["generator_adv0", "identity_adv0"])
def test_psnr_and_ms_ssim_are_the_authors(shared_data: Path, case: str) -> None:
    reference = loss_reference(shared_data)
    wanted = reference.results["cases"][case]
    enhanced = photos_from_nhwc(reference.arrays[f"{case.split('_')[0]}_enhanced"])
    mse = mean_squared_error(enhanced, reference.dslr).mean()
    assert mse.item() == pytest.approx(wanted["loss_mse"], rel=1e-5)
    assert psnr_from_mse(mse).item() == pytest.approx(wanted["loss_psnr"], abs=1e-5)
    assert ms_ssim_of_batch(enhanced, reference.dslr).item() == pytest.approx(wanted["ms_ssim"], abs=1e-6)
    assert ms_ssim(enhanced, reference.dslr).tolist() == pytest.approx(wanted["ms_ssim_per_image"], abs=1e-6)
    levels = ms_ssim_levels(enhanced, reference.dslr)
    similarity, contrast = np.array(wanted["per_level_ssim_cs"]).T
    assert levels.similarity.mean(0).tolist() == pytest.approx(similarity, abs=1e-6)
    assert levels.contrast.mean(0).tolist() == pytest.approx(contrast, abs=1e-6)
