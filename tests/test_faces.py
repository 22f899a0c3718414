"""Faces in photos: planted crops and faces are found where they were put."""

import json

import numpy as np
import PIL.Image
import pytest
from skimage import data
from test_scripts import run_script

from tfgpr import Method, Restorer, faces, images, operators, photos, tasks
from tfgpr.errors import InputError
from tfgpr.images import read_image, write_png

# In scikit-image's portrait, by eye: the two eyes and the middle of the mouth.
ASTRONAUT = np.array([204 + 101j, 246 + 103j, 224 + 140j])
CUT = (slice(0, 240), slice(100, 340))  # its head, 240x240


@pytest.fixture
def needs_detector():
    pytest.importorskip("mtcnn")


@pytest.fixture(scope="module")
def portrait():
    return data.astronaut()[CUT]


@pytest.fixture(scope="module")
def pair():
    """Two copies on one photo, the second tilted and enlarged; and where its points went."""
    photo = np.asarray(PIL.Image.fromarray(data.coffee()).resize((620, 340))).copy()
    photo[60:300, 20:260] = data.astronaut()[CUT]
    turn = 1.2 * np.exp(0.26j)  # 15 degrees clockwise
    crop = faces.Crop((-10 - 30j), 1 / turn, 300)
    photo[20:320, 300:600] = np.round(crop.cut(data.astronaut()[CUT] / 255.0).clip(0, 1) * 255)
    first = ASTRONAUT - 100
    return photo, first + 20 + 60j, (first - crop.origin) * turn + 300 + 20j


@pytest.fixture
def prior_dir(tiny_prior, tmp_path):
    tiny_prior.save(tmp_path / "prior")
    return tmp_path / "prior"


def test_a_crop_follows_the_landmarks():
    """CelebA's frame, scaled, tilted and moved: the crop is the frame's centre, likewise."""
    step, origin = 1.7 * np.exp(0.3j), 40 + 25j
    face = faces.Face((), step * faces._LANDMARKS + origin, 1.0)
    crop = faces.Crop.of_face(face, 64, 108 / 178)
    corner = (35 + 55j, 143 + 55j, 143 + 163j, 35 + 163j)
    np.testing.assert_allclose(crop.corners, step * np.array(corner) + origin, atol=1e-9)
    with pytest.raises(InputError, match="whole images"):
        faces.Crop.of_face(face, 64, None)


def test_an_aligned_image_is_cut_as_the_training_images_were(rng):
    image = np.asarray(PIL.Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8)))
    image = np.asarray(PIL.Image.fromarray(image).resize((178, 218), PIL.Image.Resampling.BICUBIC))
    cut = faces.Crop(35 + 55j, 108 / 64 + 0j, 64).cut(image / 255.0)
    np.testing.assert_allclose(cut, images.crop_and_resize(image, 64) / 255.0, atol=0.02)


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.7])
def test_cutting_and_putting_back_keep_a_ramp(scale):
    """A plane of brightness is what a cubic kernel reproduces at any tilt and scale."""
    y, x = np.mgrid[:200, :300] + 0.5
    ramp = np.stack([x / 300, y / 200, (x + y) / 500], axis=-1)
    crop = faces.Crop(110 + 40j, scale * np.exp(0.2j), 32)
    v, u = np.mgrid[:32, :32] + 0.5
    points = crop.origin + crop.step * (u + 1j * v)
    expected = np.stack([points.real / 300, points.imag / 200], axis=-1)
    cut = crop.cut(ramp)
    np.testing.assert_allclose(cut[..., :2], expected, atol=2e-3)
    window = crop.window(ramp.shape)
    deep = crop.depth(window)[..., 0] > 0.15
    np.testing.assert_allclose(crop.spread(cut, window)[deep], ramp[window][deep], atol=4e-3)
    x, y = crop.corners.real, crop.corners.imag
    rows, columns = window
    assert (columns.start, columns.stop) == (np.floor(x.min()), np.ceil(x.max()))
    assert (rows.start, rows.stop) == (np.floor(y.min()), np.ceil(y.max()))


def test_filling_keeps_what_is_known_and_continues_it(rng):
    image = rng.random((37, 50, 3))
    known = (rng.random((37, 50, 1)) < 0.3).astype(np.float32)
    known[10:30, 10:40] = 0
    filled = photos.fill(np.where(known > 0, image, np.nan_to_num(np.inf)), known)
    seen = known[..., 0] > 0
    np.testing.assert_array_equal(filled[seen], image[seen])
    assert filled.min() >= image.min()
    assert filled.max() <= image.max()
    np.testing.assert_allclose(photos.fill(np.full((9, 9, 3), 0.3), known[:9, :9]), 0.3)


def test_planted_faces_are_found_where_they_are(needs_detector, pair):
    photo, *planted = pair
    found = faces.find_faces(photo)
    assert len(found) == 2
    for face, points in zip(found, planted[::-1]):  # the larger first
        assert np.abs(face.landmarks - points).max() < 7
        left, top, right, bottom = face.box
        assert ((left < points.real) & (points.real < right)).all()
        assert ((top < points.imag) & (points.imag < bottom)).all()
    ratio = [faces.Crop.of_face(face, 64, 108 / 178).step for face in found]
    assert abs(ratio[0] / ratio[1] - 1.2 * np.exp(0.26j)) < 0.1
    assert faces.find_faces(data.coffee()) == []


def restore(prior_dir, tmp_path, task, photo, *arguments):
    """Runs the script on one photo: (output, boxes)."""
    write_png(tmp_path / "in" / "photo.png", photo)
    usual = ["--find_faces", f"--task={task}", f"--input={tmp_path / 'in'}", "--iterations=3"]
    usual += [f"--output={tmp_path / 'out'}", f"--model_dir={prior_dir}"]
    assert run_script("scripts/restore.py", *usual, *arguments) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    return read_image(tmp_path / "out" / "photo.png"), report


def outside(shape, boxes):
    mask = np.ones(shape[:2], bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = False
    return mask


def test_a_photo_of_two_faces_changes_in_their_boxes_only(
    needs_detector, prior_dir, tmp_path, pair
):
    photo, *planted = pair
    restored, report = restore(prior_dir, tmp_path, "denoising", photo)
    boxes = [face["box"] for face in report["images"][0]["faces"]]
    assert len(boxes) == 2
    for (left, top, right, bottom), points in zip(boxes, planted[::-1]):
        assert left < points.real.min() < points.real.max() < right
        assert top < points.imag.min() < points.imag.max() < bottom
        assert (restored != photo)[top:bottom, left:right].mean() > 0.5
    same = outside(photo.shape, boxes)
    np.testing.assert_array_equal(restored[same], photo[same])
    assert "psnr" not in report["mean"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["comparison.png", "photo.png", "report.json"]


def test_a_hole_in_a_face_is_filled_and_nothing_else(needs_detector, prior_dir, tmp_path, pair):
    photo = pair[0].copy()
    known = np.full(photo.shape[:2], 255, np.uint8)
    known[150:170, 100:125] = 0  # in the first face
    known[5:15, 400:500] = 0  # in none
    photo[known == 0] = 255
    write_png(tmp_path / "mask.png", known)
    mask = f"--known={tmp_path / 'mask.png'}"
    restored, report = restore(prior_dir, tmp_path, "inpainting", photo, mask)
    assert len(report["images"][0]["faces"]) == 1
    np.testing.assert_array_equal(restored[known == 255], photo[known == 255])
    np.testing.assert_array_equal(restored[:20], photo[:20])
    assert (restored[150:170, 100:125].min(axis=-1) < 250).all()


@pytest.mark.parametrize("content", ["flat", "true"])
def test_a_hole_continues_what_is_around_it(content):
    """A ramp is harmonic: without gradients of its own, or with the true ones, it comes back."""
    y, x = np.mgrid[:90, :120] / 120
    ramp = np.stack([x, y, (x + y) / 2], axis=-1).astype(np.float32)
    known = np.ones((90, 120, 1), np.float32)
    known[35:60, 40:80] = 0
    task = tasks.inpainting()
    observed = photos._observed(ramp * known, known, task)
    crop = faces.Crop(25 + 25j, 1.1 * np.exp(-0.1j), 64)
    restored = crop.cut(ramp) if content == "true" else np.full((64, 64, 3), 0.5, np.float32)
    image = observed.picture.copy()
    photos._put_back(image, crop, restored, observed, task)
    np.testing.assert_allclose(image / 255, ramp, atol=1.6 / 255)


def test_color_comes_from_the_prior_and_luma_from_the_photo(needs_detector, tiny_prior, portrait):
    restorer = Restorer(tiny_prior, tasks.colorization(), Method(iterations=3))
    found = photos.restore_photo(restorer, portrait, corrupt=True)
    pair = np.stack([found.image, portrait]) / np.float32(255)
    luma = operators.Luma()(pair).numpy()[..., 0]
    depth = np.full((*portrait.shape[:2], 1), -1.0)
    window = found.crops[0].window(portrait.shape)
    depth[window] = found.crops[0].depth(window)
    depth = depth[..., 0]
    clipped = (found.image == 0).any(axis=-1) | (found.image == 255).any(axis=-1)
    exact = ~clipped & ((depth > 1 / 8) | (depth < 0))
    assert np.abs(luma[0] - luma[1])[exact].max() < 1.1 / 255
    chroma = np.ptp(found.image.astype(int), axis=-1)
    assert chroma[depth < 0].max() <= 1
    assert (chroma[depth > 1 / 8] > 5).mean() > 0.9


def test_a_small_photo_is_enlarged_with_its_faces(needs_detector, prior_dir, tmp_path, portrait):
    small = np.asarray(PIL.Image.fromarray(portrait).resize((64, 64), PIL.Image.Resampling.BICUBIC))
    restored, report = restore(prior_dir, tmp_path, "super_resolution", small)
    assert restored.shape == (256, 256, 3)
    channels = [PIL.Image.fromarray(channel) for channel in np.moveaxis(np.float32(small), -1, 0)]
    bicubic = (256, 256), PIL.Image.Resampling.BICUBIC
    enlarged = np.stack([channel.resize(*bicubic) for channel in channels], axis=-1).clip(0, 255)
    left, top, right, bottom = report["images"][0]["faces"][0]["box"]
    same = outside(restored.shape, [(left, top, right, bottom)])
    same[[*range(8), *range(-8, 0)]] = same[:, [*range(8), *range(-8, 0)]] = False
    assert np.abs(restored - enlarged)[same].max() <= 1
    width, height = right - left, bottom - top
    inner = (slice(top + height // 3, bottom - height // 3),)
    inner += (slice(left + width // 3, right - width // 3),)
    assert np.abs(restored - enlarged)[inner].mean() > 1
    again = np.asarray(PIL.Image.fromarray(restored).resize((64, 64), PIL.Image.Resampling.BICUBIC))
    inner = tuple(slice(part.start // 4 + 2, part.stop // 4 - 2) for part in inner)
    assert np.abs(again[inner].astype(int) - small[inner]).mean() < 3, "the photo is honoured"


@pytest.mark.parametrize("task", ["inpainting", "dequantization"])
def test_a_clean_photo_is_degraded_first(needs_detector, task, tiny_prior, portrait):
    restorer = Restorer(tiny_prior, tasks.TASKS[task](), Method(iterations=2))
    found = photos.restore_photo(restorer, portrait, corrupt=True)
    (crop,) = found.crops
    depth = np.zeros((*portrait.shape[:2], 1))
    depth[crop.window(portrait.shape)] = crop.depth(crop.window(portrait.shape))
    if task == "inpainting":
        kept = depth[..., 0] < 0.25
        np.testing.assert_array_equal(found.image[kept], portrait[kept])
        assert (found.image != portrait)[~kept].any(axis=-1).mean() > 0.9
    else:
        coarse = np.round(portrait / 255 * 4) / 4
        assert np.abs(found.image / 255 - coarse).max() < 0.125 + 1 / 255
        np.testing.assert_array_equal(
            found.image[depth[..., 0] <= 0], np.round(coarse * 255)[depth[..., 0] <= 0]
        )
    np.testing.assert_allclose(found.originals[0], crop.cut(portrait / 255.0).clip(0, 1), atol=1e-6)


def test_photos_without_a_face_are_named_and_left_out(
    needs_detector, prior_dir, tmp_path, portrait, capsys
):
    write_png(tmp_path / "in" / "cup.png", data.coffee())
    usual = ["--find_faces", "--task=denoising", "--iterations=2", f"--model_dir={prior_dir}"]
    usual += [f"--output={tmp_path / 'out'}", f"--input={tmp_path / 'in'}"]
    assert run_script("scripts/restore.py", *usual) == 2
    assert "Expected a face in the photo" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    _, report = restore(prior_dir, tmp_path, "denoising", portrait)
    assert "Expected a face" in report["images"][0]["left_out"]
    assert "cup" in capsys.readouterr().out
    assert not (tmp_path / "out" / "cup.png").exists()


def test_what_cannot_be_restored_is_one_line(needs_detector, prior_dir, tmp_path, portrait, capsys):
    known = np.full(portrait.shape[:2], 255, np.uint8)
    write_png(tmp_path / "all.png", known)
    known[:5] = 0
    write_png(tmp_path / "far.png", known)
    write_png(tmp_path / "small.png", known[:50, :50])
    write_png(tmp_path / "photo.png", portrait)
    usual = ["--find_faces", f"--input={tmp_path / 'photo.png'}", f"--output={tmp_path / 'out'}"]
    usual += [f"--model_dir={prior_dir}", "--iterations=2", "--task=inpainting"]
    cases = {
        "no mask": ([], "--known=MASK.png"),
        "another size": ([f"--known={tmp_path / 'small.png'}"], "240x240"),
        "no hole": ([f"--known={tmp_path / 'all.png'}"], "one color only"),
        "hole elsewhere": ([f"--known={tmp_path / 'far.png'}"], "hole in a face"),
        "mask without need": (["--task=denoising", f"--known={tmp_path / 'all.png'}"], "no mask"),
        "crop": (["--crop=face"], "--crop"),
        "large already": (["--task=super_resolution"], "larger"),
        "not quantised": (["--task=dequantization"], "5 levels"),
    }
    for name, (arguments, message) in cases.items():
        assert run_script("scripts/restore.py", *usual, *arguments) == 2, name
        assert message in capsys.readouterr().err.strip().splitlines()[-1], name
        assert not (tmp_path / "out").exists(), name


def test_without_the_detector_the_extra_is_named(portrait, monkeypatch):
    monkeypatch.setattr(faces.importlib.util, "find_spec", lambda name: None)
    faces._detector.cache_clear()
    with pytest.raises(InputError, match=r"tfgpr\[faces\]"):
        faces.find_faces(portrait)
