"""Measures against scikit-image and against cases whose answer is known."""

import numpy as np
import pytest
import tensorflow as tf

from tfgpr import metrics, perceptual, realism
from tfgpr.errors import InputError


@pytest.fixture
def pair(rng):
    images = rng.uniform(size=(3, 32, 32, 3)).astype(np.float32)
    noisy = np.clip(images + 0.1 * rng.normal(size=images.shape), 0, 1).astype(np.float32)
    return noisy, images


def test_psnr_and_ssim_agree_with_scikit_image(pair):
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    noisy, images = pair
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for index, (a, b) in enumerate(zip(noisy, images)):
        psnr = peak_signal_noise_ratio(b, a, data_range=1.0)
        assert np.isclose(metrics.psnr(noisy, images)[index], psnr, atol=1e-4)
        # tf.image.ssim averages the window positions that lie inside the image.
        _, full = structural_similarity(
            b, a, data_range=1.0, channel_axis=-1, full=True, **settings
        )
        inside = full[5:-5, 5:-5].mean()
        assert np.isclose(metrics.ssim(noisy, images)[index], inside, atol=1e-4)


def test_psnr_of_a_part_and_of_another_peak(pair):
    noisy, images = pair
    where = np.zeros([1, 32, 32, 1], np.float32)
    where[:, 8:24, 8:24] = 1
    inside = metrics.psnr(noisy[:, 8:24, 8:24], images[:, 8:24, 8:24])
    np.testing.assert_allclose(metrics.psnr(noisy, images, where), inside, rtol=1e-5)
    lower = metrics.psnr(noisy, images) - metrics.psnr(noisy, images, peak=0.5)
    np.testing.assert_allclose(lower, 20 * np.log10(2), rtol=1e-4)


def test_the_laplacian_pyramid_adds_up_to_the_images(pair):
    levels = realism.laplacian_pyramid(pair[1])
    assert [level.shape[1] for level in levels] == [32, 16]
    rebuilt = levels[0] + tf.image.resize(levels[1], [32, 32], "bilinear").numpy()
    np.testing.assert_allclose(rebuilt, pair[1], atol=1e-5)


def test_patches_are_cut_from_their_own_image_and_normalised():
    images = np.arange(4, dtype=np.float32)[:, None, None, None] + np.zeros([4, 20, 20, 3])
    rows = realism.normalised_patches(images, 5, np.random.default_rng(0))
    expected = np.repeat((np.arange(4) - 1.5) / np.std(np.arange(4)), 5)
    np.testing.assert_allclose(rows, np.broadcast_to(expected[:, None], rows.shape), atol=1e-6)


def test_sliced_wasserstein_knows_blur_and_noise_from_the_real_thing(rng):
    def smooth(images, times):
        for _ in range(times):
            images = sum(np.roll(images, shift, axis) for shift in (-1, 1) for axis in (1, 2)) / 4
        return np.float32(images)

    def textures(count):
        return smooth(rng.normal(size=(count, 32, 32, 3)), 8)

    real, others = textures(96), textures(96)
    distance = realism.SlicedWasserstein(real, directions=64)
    floor = distance(others)
    noisy = others + others.std() * rng.normal(size=others.shape).astype(np.float32)
    assert distance(smooth(others, 8)) > 1.3 * floor
    assert distance(noisy) > 1.3 * floor
    assert distance(others) == floor


def test_sliced_wasserstein_wants_equal_numbers(pair):
    with pytest.raises(InputError, match="Expected 3 images"):
        realism.SlicedWasserstein(pair[1])(pair[0][:2])


def test_diversity_of_copies_is_one_and_of_noise_low(pair):
    copies = np.repeat(pair[1][:1], 4, axis=0)
    assert np.isclose(realism.ms_ssim_diversity(copies), 1, atol=1e-4)
    assert realism.ms_ssim_diversity(pair[1]) < 0.3
    with pytest.raises(InputError, match="two"):
        realism.ms_ssim_diversity(copies[:1])


def test_absent_face_net_names_the_extra(monkeypatch):
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None)
    assert not perceptual.available()
    with pytest.raises(InputError, match=r"tfgpr\[perceptual\]"):
        perceptual.FaceNet()


def test_a_face_network_is_read_and_fed_standardised_faces(tmp_path, monkeypatch, rng):
    # A stand-in graph with the real one's input and output: the mean color, as a unit vector.
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [1, 160, 160, 3], "input")
        middle = tf.reduce_mean(images[:, 40:120, 40:120], axis=[1, 2])
        tf.math.l2_normalize(middle, axis=1, name="l2")
        tf.identity(graph.get_tensor_by_name("l2:0"), "embeddings")
    (tmp_path / "graph_final.pb").write_bytes(graph.as_graph_def().SerializeToString())
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: spec)
    net = perceptual.FaceNet()
    faces = rng.uniform(size=(2, 64, 64, 3)).astype(np.float32)
    assert net.embed(faces).shape == (2, 3)
    np.testing.assert_allclose(np.linalg.norm(net.embed(faces), axis=1), 1, atol=1e-6)
    # Brightness and contrast do not make another person.
    cosine = (net.embed(0.5 * faces + 0.1) * net.embed(faces)).sum(axis=1)
    np.testing.assert_allclose(cosine, 1, atol=1e-4)


def test_images_of_any_kind_are_compared_in_one_range(pair):
    stored = [np.uint8(np.round(255 * images)) for images in pair]
    exact = [images / 255 for images in stored]  # float64
    for measure in (metrics.psnr, metrics.ssim):
        expected = measure(*(images.astype(np.float32) for images in exact))
        np.testing.assert_allclose(measure(*stored), expected, rtol=1e-4)
        np.testing.assert_allclose(measure(exact[0], stored[1]), expected, rtol=1e-4)
        with pytest.raises(InputError, match="int64"):
            measure(stored[0].astype(np.int64), stored[1])
