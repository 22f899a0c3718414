"""The baselines against independent solutions of the same problems."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from tfgpr import metrics, tasks
from tfgpr.baselines import BASELINES, PCA, Interpolation, LowRank, Sparse, TotalVariation
from tfgpr.baselines.data_terms import DataTerm
from tfgpr.baselines.low_rank import minimize_nuclear_norm, shrink_singular_values
from tfgpr.baselines.matching_pursuit import masked_pursuit, orthogonal_matching_pursuit
from tfgpr.baselines.sparse import Patches
from tfgpr.baselines.tv import divergence, gradient, minimize_total_variation, total_variation
from tfgpr.errors import InputError
from tfgpr.evaluation import PROTOCOLS

SIZE = 32


def faces(rng, count):
    """Smooth random images with an edge: a few random waves, and a bright half."""
    axis = np.linspace(0, np.pi, SIZE)
    waves = np.stack([np.cos(k * axis) for k in range(4)])
    weights = rng.normal(size=(count, 4, 4, 3)) / (1 + np.arange(4)[:, None, None]) ** 2
    images = np.einsum("bklc,kh,lw->bhwc", weights, waves, waves)
    images[:, :, SIZE // 2 :] += 0.8
    return np.clip(0.4 + 0.08 * images, 0.1, 0.9).astype(np.float32)


@pytest.fixture(scope="module")
def training():
    return faces(np.random.default_rng(1), 200)


@pytest.fixture(scope="module")
def fitted(training):
    small = {"sparse": {"atoms": 24, "samples": 1500}, "pca": {"components": 32}}
    return {
        name: kind(SIZE, **small.get(name, {})).fit(training) for name, kind in BASELINES.items()
    }


def observe(task, images):
    observed, conditions = task.observe(images)
    return observed, conditions["known"][:1] if conditions else None


@pytest.mark.parametrize("name", BASELINES)
def test_no_method_is_worse_than_the_plain_start_of_a_task_it_names(name, fitted):
    images = faces(np.random.default_rng(2), 3)
    for task_name in BASELINES[name].tasks:
        task = tasks.TASKS[task_name]()
        observed, known = observe(task, images)
        restored = fitted[name].restore(task, observed, known)
        assert restored.shape == images.shape
        assert restored.dtype == np.float32
        assert restored.min() >= 0
        assert restored.max() <= 1
        if observed.shape == images.shape:
            plain = np.clip(observed, 0, 1)
        else:
            plain = np.full_like(images, 0.5)
        gain = metrics.psnr(restored, images).numpy() - metrics.psnr(plain, images).numpy()
        assert gain.min() > -1e-4, task_name  # the middle of a cell is often y itself


@pytest.mark.parametrize("name", BASELINES)
def test_a_result_does_not_depend_on_batch_mates(name, fitted):
    images = faces(np.random.default_rng(3), 2)
    for task_name in BASELINES[name].tasks:
        task = tasks.TASKS[task_name]()
        observed, known = observe(task, images)
        together = fitted[name].restore(task, observed, known)
        alone = fitted[name].restore(task, observed[:1], known)
        np.testing.assert_allclose(together[:1], alone, atol=1e-5, err_msg=task_name)


@pytest.mark.parametrize("name", ["tv", "low_rank", "sparse", "interpolation", "pca"])
def test_known_pixels_low_resolution_and_cells_are_kept(name, fitted):
    images = faces(np.random.default_rng(4), 2)
    task = tasks.inpainting()
    observed, known = observe(task, images)
    restored = fitted[name].restore(task, observed, known)
    np.testing.assert_allclose(restored * known, images * known, atol=1e-6)
    task = tasks.dequantization()
    observed, _ = observe(task, images)
    assert np.abs(fitted[name].restore(task, observed) - observed).max() <= 0.125 + 1e-6
    task = tasks.super_resolution()
    observed, _ = observe(task, images)
    again = task.operator(fitted[name].restore(task, observed)).numpy()
    np.testing.assert_allclose(again, observed, atol=0.01)


@pytest.mark.parametrize("name", ["tv", "low_rank", "sparse", "interpolation", "pca"])
def test_published_super_resolution_keeps_its_singular_operator_in_check(name, fitted):
    images = faces(np.random.default_rng(8), 2)
    task = PROTOCOLS["published"].tasks["super_resolution"]()
    observed, _ = observe(task, images)
    restored = fitted[name].restore(task, observed)
    assert metrics.psnr(restored, images).numpy().min() > 20
    np.testing.assert_allclose(task.operator(restored), observed, atol=0.02)


def test_divergence_is_minus_the_transpose_of_the_gradient(rng):
    images = rng.normal(size=(1, 5, 6, 2))
    field = rng.normal(size=(2, 1, 5, 6, 2))
    assert np.isclose((gradient(images) * field).sum(), -(images * divergence(field)).sum())


def test_total_variation_denoising_closes_the_duality_gap(rng):
    task, weight = tasks.denoising(), 6.0
    noisy = (faces(rng, 1) + 0.1 * rng.normal(size=(1, SIZE, SIZE, 3))).astype(np.float32)
    term = DataTerm(task, noisy, None, weight, SIZE)
    x, p = minimize_total_variation(term.prox, noisy, 600)
    primal = total_variation(x)[0] + weight / 2 * ((x - noisy) ** 2).sum()
    pulled = divergence(p)  # the dual: -||div p||^2 / (2 w) - <y, div p>
    dual = -(pulled**2).sum() / (2 * weight) - (noisy * pulled).sum()
    assert np.sqrt((p**2).sum(axis=(0, -1))).max() <= 1 + 1e-5
    assert -1e-3 * primal < primal - dual < 2e-3 * primal


def test_total_variation_of_two_pixels_is_soft_thresholding():
    # min |b - a| + w/2 ((a - 0)^2 + (b - 1)^2): both move by 1/w toward each other.
    observed = np.zeros([1, 1, 2, 1])
    observed[..., 1, 0] = 1
    term = DataTerm(tasks.denoising(), observed, None, 5.0, 2)
    x, _ = minimize_total_variation(term.prox, observed, 400)
    np.testing.assert_allclose(x.ravel(), [0.2, 0.8], atol=1e-4)


def test_one_channel_denoising_agrees_with_scikit_image(rng):
    from skimage.restoration import denoise_tv_chambolle

    noisy = (faces(rng, 1) + 0.1 * rng.normal(size=(1, SIZE, SIZE, 3)))[..., :1]
    expected = denoise_tv_chambolle(noisy[0, ..., 0], weight=0.1, eps=1e-9, max_num_iter=3000)
    term = DataTerm(tasks.denoising(), noisy, None, 1 / 0.1, SIZE)
    x, _ = minimize_total_variation(term.prox, noisy, 600)
    np.testing.assert_allclose(x[0, ..., 0], expected, atol=3e-3)


def test_inpainting_a_band_between_two_flat_regions_has_least_total_variation():
    images = np.zeros([1, SIZE, SIZE, 3], np.float32)
    images[:, SIZE // 2 :] = 1
    known = np.ones([1, SIZE, SIZE, 1], np.float32)
    known[:, 8:24, 10:20] = 0
    restored = TotalVariation(SIZE, iterations=2000).restore(
        tasks.inpainting(), images * known, known
    )
    np.testing.assert_allclose(total_variation(restored), total_variation(images), rtol=0.01)


def test_shrinking_agrees_with_the_singular_value_decomposition(rng):
    matrices = rng.normal(size=(2, 7, 9))
    u, s, v = np.linalg.svd(matrices, full_matrices=False)
    expected = (u * np.maximum(s - 1.5, 0)[..., None, :]) @ v
    np.testing.assert_allclose(shrink_singular_values(matrices, 1.5), expected, atol=1e-10)
    kept = np.maximum(s - 1.5, 0)
    kept[:, :2] = s[:, :2]
    expected = (u * kept[..., None, :]) @ v
    np.testing.assert_allclose(shrink_singular_values(matrices, 1.5, 2), expected, atol=1e-10)


def test_nuclear_norm_completion_recovers_a_planted_rank_one_matrix(rng):
    left, right = rng.uniform(0.3, 1, size=(SIZE, 1)), rng.uniform(0.3, 1, size=(1, SIZE))
    truth = (left @ right)[None, ..., None]
    known = (rng.uniform(size=truth.shape) < 0.7).astype(float)
    term = DataTerm(tasks.inpainting(), truth * known, known, 0.0, SIZE)
    found = minimize_nuclear_norm(term.prox, term.start(), 0.1, 0, 150)
    np.testing.assert_allclose(found, truth, atol=5e-3)


def test_matching_pursuit_agrees_with_scikit_learn(rng):
    from sklearn.linear_model import orthogonal_mp

    dictionary = rng.normal(size=(30, 16)).astype(np.float32)
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    patches = rng.normal(size=(12, 16)).astype(np.float32)
    codes = orthogonal_mp(dictionary.T, patches.T, n_nonzero_coefs=4)
    expected = (dictionary.T @ codes).T
    found = orthogonal_matching_pursuit(patches, dictionary, 0.0, 4)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_matching_pursuit_stops_at_the_tolerance(rng):
    dictionary = np.eye(6, dtype=np.float32)
    patches = np.array([[3, 2, 1, 0, 0, 0], [0.1, 0, 0, 0, 0, 0]], np.float32)
    found = orthogonal_matching_pursuit(patches, dictionary, 1.5, 6)
    np.testing.assert_allclose(found, [[3, 2, 0, 0, 0, 0], [0] * 6], atol=1e-5)


def test_masked_pursuit_recovers_planted_patches_with_hidden_pixels(rng):
    dictionary = rng.normal(size=(40, 64, 3)).astype(np.float32)
    dictionary -= dictionary.mean(axis=1, keepdims=True)
    codes = np.zeros((10, 40), np.float32)
    for row in codes:
        row[rng.choice(40, 3, replace=False)] = rng.choice([-1, 1], 3) * rng.uniform(1, 2, 3)
    patches = np.einsum("na,apc->npc", codes, dictionary) + rng.normal(size=(10, 1, 3))
    known = np.ones(64, bool)
    known[rng.choice(64, 32, replace=False)] = False
    spoiled = np.where(known[:, None], patches, 1e3).astype(np.float32)
    found = masked_pursuit(spoiled, known, dictionary.reshape(40, -1), 1e-4, 3)
    np.testing.assert_allclose(found, patches, atol=1e-3)


def test_masked_pursuit_agrees_with_scikit_learn_on_the_known_pixels(rng):
    from sklearn.linear_model import orthogonal_mp

    dictionary = rng.normal(size=(30, 25 * 3)).astype(np.float32)
    patches = rng.normal(size=(6, 25, 3)).astype(np.float32)
    known = np.arange(25) % 3 > 0
    # The mean color is fitted as well: everything is compared without it.
    project = np.eye(known.sum()) - 1 / known.sum()
    seen = np.einsum("qp,apc->aqc", project, dictionary.reshape(30, 25, 3)[:, known])
    wanted = np.einsum("qp,npc->nqc", project, patches[:, known]).reshape(6, -1)
    length = np.linalg.norm(seen.reshape(30, -1), axis=1)
    codes = orthogonal_mp((seen.reshape(30, -1) / length[:, None]).T, wanted.T, n_nonzero_coefs=4)
    drawn = ((codes / length[:, None]).T @ dictionary).reshape(6, 25, 3)
    expected = drawn + (patches - drawn)[:, known].mean(axis=1, keepdims=True)
    found = masked_pursuit(patches, known, dictionary, 0.0, 4)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_sparse_fills_the_hole_of_a_sum_of_training_faces(rng):
    knots = rng.uniform(size=(40, 8, 8, 3))  # nothing outside the hole tells what is in it
    training = np.clip(tf.image.resize(knots, [SIZE, SIZE], "bicubic").numpy(), 0, 1)
    images = 0.6 * training[:1] + 0.4 * training[1:2, :, ::-1]
    observed, known = observe(tasks.inpainting(), images)
    settings = {"turns": {"inpainting": 0}, "atoms": 8, "samples": 300}  # whole faces alone
    sparse = Sparse(SIZE, dictionaries=1, combined=2, **settings).fit(training)
    found = sparse.restore(tasks.inpainting(), observed, known)
    smooth = Interpolation(SIZE).fit(training).restore(tasks.inpainting(), observed, known)
    assert metrics.psnr(smooth, images, 1 - known).numpy().min() < 18
    assert metrics.psnr(found, images, 1 - known).numpy().min() > 25


def test_patches_are_put_back_where_they_were_cut(rng):
    images = rng.normal(size=(2, 21, 21, 3)).astype(np.float32)
    patches = Patches(21, 8, 3)
    found = patches.average(patches.cut(images), images.shape)
    np.testing.assert_allclose(found, images, atol=1e-6)


@pytest.mark.parametrize("name", ["inpainting", "colorization", "super_resolution"])
def test_pca_solves_the_dense_normal_equations(name, fitted, training):
    pca, task = fitted["pca"], tasks.TASKS[name]()
    images = faces(np.random.default_rng(5), 1)
    observed, known = observe(task, images)
    conditions = {} if known is None else {"known": known}
    # A as a dense matrix, one column for each pixel.
    dim = images[0].size
    units = np.eye(dim, dtype=np.float32).reshape(dim, SIZE, SIZE, 3)
    A = task.operator(units, **conditions).numpy().reshape(dim, -1).T
    U, variances = pca.basis.T.astype(np.float64), pca.variances
    M, noise = A @ U, pca.noise[name]
    right = M.T @ (observed.ravel() - A @ pca.mean.ravel()) / noise
    expected = np.linalg.solve(M.T @ M / noise + np.diag(1 / variances), right)
    drawn = (U @ expected).reshape(images.shape) + pca.mean
    expected = task.consistency(np.float32(drawn), observed, **conditions).numpy()
    np.testing.assert_allclose(pca.restore(task, observed, known), expected, atol=1e-4)


def test_pca_components_are_those_of_faces_and_their_mirror_images(training, fitted):
    both = np.concatenate([training, training[:, :, ::-1]]).reshape(2 * len(training), -1)
    centred = both - both.mean(axis=0)
    expected = np.linalg.eigvalsh(centred @ centred.T)[:-11:-1] / len(both)
    pca = fitted["pca"]
    np.testing.assert_allclose(pca.variances[:10], expected, rtol=1e-2)
    np.testing.assert_allclose(pca.basis @ pca.basis.T, np.eye(len(pca.basis)), atol=1e-4)
    np.testing.assert_allclose(pca.mean.ravel(), both.mean(axis=0), atol=1e-5)


def test_each_mask_of_a_batch_is_used(fitted):
    images = faces(np.random.default_rng(6), 2)
    known = np.ones([2, SIZE, SIZE, 1], np.float32)
    known[0, :8], known[1, 10:20, 10:20] = 0, 0
    for name in ("pca", "interpolation", "sparse"):
        restored = fitted[name].restore(tasks.inpainting(), images * known, known)
        assert metrics.psnr(restored, images).numpy().min() > 25
        np.testing.assert_allclose(restored * known, images * known, atol=1e-6)


def test_what_was_learned_is_kept_and_only_for_the_same_faces(tmp_path, training):
    pca = PCA(SIZE, components=16).fit(training)
    pca.save(tmp_path / "pca.npz", training="a")
    assert not PCA(SIZE, components=17).load(tmp_path / "pca.npz", training="a")
    other = PCA(SIZE, components=16)
    assert not other.load(tmp_path / "pca.npz", training="b")
    assert not other.load(tmp_path / "absent.npz", training="a")
    assert other.load(tmp_path / "pca.npz", training="a")
    np.testing.assert_array_equal(other.basis, pca.basis)


def test_a_damaged_cache_counts_as_none(tmp_path, training):
    pca, file = PCA(SIZE, components=16).fit(training), tmp_path / "pca.npz"
    pca.save(file, training="a")
    whole = file.read_bytes()
    middle = len(whole) // 2
    changed = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    for damaged in (whole[:middle], changed, whole[:3], b""):
        file.write_bytes(damaged)
        other = PCA(SIZE, components=16)
        assert not other.load(file, training="a")
        assert not hasattr(other, "basis")


def test_a_cache_of_an_older_version_is_refused(tmp_path, training):
    sparse = Sparse(SIZE, atoms=8, samples=300, exemplars=20).fit(training)
    sparse.save(tmp_path / "sparse.npz", training="a")
    assert Sparse(SIZE, atoms=8, samples=300, exemplars=20).load(tmp_path / "sparse.npz", "a")
    assert not Sparse(SIZE, atoms=8, samples=300, exemplars=21).load(tmp_path / "sparse.npz", "a")
    with np.load(tmp_path / "sparse.npz") as stored:
        arrays = {name: stored[name] for name in ("dictionary", "label")}
    np.savez(tmp_path / "sparse.npz", **arrays)
    assert not Sparse(SIZE, atoms=8, samples=300, exemplars=20).load(tmp_path / "sparse.npz", "a")


def test_bad_input_names_the_remedy(training, fitted):
    observed = np.zeros([1, SIZE, SIZE, 1], np.float32)
    with pytest.raises(InputError, match="inpainting, super_resolution"):
        TotalVariation(SIZE).restore(tasks.colorization(), observed)
    with pytest.raises(InputError, match="linear"):
        fitted["pca"].restore(tasks.colorization(value=True), observed)
    with pytest.raises(InputError, match="fit"):
        PCA(SIZE).restore(tasks.colorization(), observed)
    with pytest.raises(InputError, match="Received: shape"):
        Sparse(SIZE).fit(training[:, :16])
    with pytest.raises(InputError, match="known"):
        LowRank(SIZE).restore(tasks.inpainting(), np.zeros([1, SIZE, SIZE, 3], np.float32))
    with pytest.raises(InputError, match="Received: shape"):
        Interpolation(SIZE).fit(training).restore(tasks.super_resolution(), observed)


def test_absent_libraries_name_the_extra(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sklearn" else find(name)
    )
    with pytest.raises(InputError, match=r"no module sklearn; pip install 'tfgpr\[evaluation\]'"):
        TotalVariation(SIZE)
