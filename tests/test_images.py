"""Files and pictures: checked on the way in, whole on the way out."""

import concurrent.futures
import os
import time

import numpy as np
import PIL.Image
import pytest

from tfgpr import files, images, observations
from tfgpr.errors import InputError


def test_uint8_and_floats_are_taken(rng):
    pixels = rng.integers(0, 256, (2, 4, 4, 3), np.uint8)
    np.testing.assert_allclose(images.as_images(pixels), pixels / 255.0, atol=1e-7)
    np.testing.assert_array_equal(images.to_uint8(images.as_images(pixels)), pixels)
    assert images.as_images(np.zeros((4, 4, 3))).shape == (1, 4, 4, 3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4)), "shape"),
        (np.zeros((0, 4, 4, 3)), "shape"),
        (np.zeros((1, 4, 4, 3), np.int64), "int64"),
        (np.full((1, 4, 4, 3), np.nan), "NaN"),
        (np.full((1, 4, 4, 3), np.inf), "infinite"),
        (np.full((1, 4, 4, 3), 255.0), "divide by 255"),
        (np.full((1, 4, 4, 3), -0.1), "-0.1"),
    ],
)
def test_bad_arrays_are_named(array, message):
    with pytest.raises(InputError, match=message):
        images.as_images(array)


def test_rounding_errors_are_clipped():
    above = np.full((1, 4, 4, 3), 1.0 + 2e-7, np.float32)
    assert above.max() > 1
    np.testing.assert_array_equal(images.as_images(above), np.ones((1, 4, 4, 3)))


def test_png_round_trip(tmp_path, rng):
    pixels = rng.integers(0, 256, (5, 6, 3), np.uint8)
    images.write_png(tmp_path / "a.png", pixels / 255.0)
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png"), pixels)
    images.write_png(tmp_path / "gray.png", pixels[..., :1])
    gray = images.read_image(tmp_path / "gray.png", mode="L")
    np.testing.assert_array_equal(gray, pixels[..., 0])


def test_a_photo_of_a_camera_held_sideways_is_read_upright(tmp_path, rng):
    pixels = rng.integers(0, 256, (6, 9, 3), np.uint8)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera's top was at the right
    PIL.Image.fromarray(pixels).save(tmp_path / "held.png", exif=exif)
    np.testing.assert_array_equal(images.read_image(tmp_path / "held.png"), np.rot90(pixels, -1))


def test_files_that_are_no_images_are_named(tmp_path, rng):
    images.write_png(tmp_path / "a.png", rng.random((64, 64, 3)))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("text")
    for name in ("half.png", "text.png", "absent.png"):
        with pytest.raises(InputError, match=name):
            images.read_image(tmp_path / name)


def test_a_grid_holds_each_image_in_its_place(rng):
    batch = rng.random((5, 4, 4, 3))
    picture = images.grid(batch, columns=3, gap=2)
    assert picture.shape == (14, 20, 3)
    for i in range(5):
        top, left = 2 + 6 * (i // 3), 2 + 6 * (i % 3)
        tile = picture[top : top + 4, left : left + 4]
        np.testing.assert_array_equal(tile, images.to_uint8(batch[i]))
    assert (picture[8:12, 14:18] == 255).all(), "an empty place is white"


def test_columns_enlarge_small_and_gray_images(rng):
    columns = {"small": rng.random((2, 2, 2, 1)), "large": rng.random((2, 8, 8, 3))}
    picture = images.labelled_columns(columns, scale=1)
    assert picture.shape == (16 + 22, 22, 3)
    tile = picture[18:26, 2:10]
    expected = np.kron(images.to_uint8(columns["small"][0, :, :, 0]), np.ones((4, 4)))
    np.testing.assert_array_equal(tile, expected[..., None] * np.ones(3))
    np.testing.assert_array_equal(picture[18:26, 12:20], images.to_uint8(columns["large"][0]))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    files.write_json(path, {"a": 1})

    def fail():
        with files.atomic_path(path) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_writing_in_threads_leaves_the_umask_alone(tmp_path, monkeypatch):
    set_umask = os.umask

    def slow(mask):  # whoever calls it is overtaken by the others
        before = set_umask(mask)
        time.sleep(0.05)
        return before

    umask = set_umask(0o077)
    set_umask(umask)
    monkeypatch.setattr(os, "umask", slow)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: files.write_json(tmp_path / f"{i}.json", i), range(8)))
        left = set_umask(umask)
    finally:
        set_umask(umask)
    assert left == umask
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o666 & ~umask}


def test_a_failed_folder_leaves_nothing(tmp_path):
    def fail():
        with files.atomic_folder(tmp_path / "out") as partial:
            (partial / "a").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_overwritten_folder_keeps_other_files(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    (tmp_path / "out" / "a").write_text("old")
    with pytest.raises(InputError, match="--overwrite"), files.atomic_folder(tmp_path / "out"):
        raise AssertionError("not reached")
    with files.atomic_folder(tmp_path / "out", overwrite=True) as partial:
        (partial / "a").write_text("new")
    assert (tmp_path / "out" / "a").read_text() == "new"
    assert (tmp_path / "out" / "mine").read_text() == "keep"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_in_the_folders_place_is_named(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="is a file"):
        files.require_free(tmp_path / "out", overwrite=True)


def test_pillow_bombs_and_palette_images(tmp_path, monkeypatch):
    palette = PIL.Image.new("P", (8, 8))
    palette.putpalette([10, 20, 30] * 256)
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(images.read_image(tmp_path / "p.png")[0, 0], [10, 20, 30])
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(InputError, match=r"p\.png"):
        images.read_image(tmp_path / "p.png")


def test_a_gif_has_its_frames_in_order(tmp_path):
    frames = [np.full((6, 8, 3), value, np.uint8) for value in (0, 120, 255)]
    images.write_gif(tmp_path / "a.gif", frames, seconds=0.1)
    movie = PIL.Image.open(tmp_path / "a.gif")
    assert movie.n_frames == 3
    assert movie.info["duration"] == 100
    for index, frame in enumerate(frames):
        movie.seek(index)
        np.testing.assert_array_equal(np.asarray(movie.convert("RGB")), frame)


def test_a_curve_marks_the_value_that_it_is_at():
    values = np.array([4.0, 3.0, 1.0, 0.0, 0.0])
    for done, (x, y) in {0: (0.05, 0.1), 2: (0.5, 0.7), None: (0.95, 0.9)}.items():
        picture = images.curve(values, done, size=200)
        assert picture.shape == (1, 200, 200, 3)
        red = np.argwhere((picture[0] == (1, 0, 0)).all(axis=-1)).mean(axis=0)
        np.testing.assert_allclose(red, (200 * y, 200 * x), atol=1)
    assert images.curve([2.0, 2.0]).min() == 0, "a flat line is a line"


def test_sixteen_bits_of_gray_are_read_as_eight(tmp_path):
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    PIL.Image.fromarray(ramp).save(tmp_path / "ramp.png")
    assert PIL.Image.open(tmp_path / "ramp.png").mode.startswith("I")
    expected = np.round(ramp / 257.0).astype(np.uint8)
    np.testing.assert_array_equal(images.read_image(tmp_path / "ramp.png", "L"), expected)
    rgb = images.read_image(tmp_path / "ramp.png")
    np.testing.assert_array_equal(rgb, np.repeat(expected[..., None], 3, axis=2))
    PIL.Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(InputError, match="floating point"):
        images.read_image(tmp_path / "float.tiff")


def test_the_longest_name_that_a_folder_takes_can_be_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".png")
    images.write_png(path, np.zeros([4, 4, 3]))
    assert list(tmp_path.iterdir()) == [path]
    with files.atomic_folder(tmp_path / ("f" * 255)) as partial:
        (partial / "a").write_text("")
    with pytest.raises(InputError, match="is a file"):
        files.require_free(path / "below")


@pytest.mark.parametrize("size", [16, 24])
def test_a_mask_of_the_photos_size_is_cropped_as_the_photo_is(size):
    """A hole, and what is partly of it, is unknown; what lies outside of the crop is not."""
    photo = np.zeros([size, size, 3], np.uint8)
    mask = np.full([size, size], 255, np.uint8)
    mask[: size // 8] = 0  # outside of the central half
    mask[size // 2 :, size // 2 :] = 0
    _, known = observations._fit(photo, mask, 16, 16, 0.5, "face")
    assert known.shape == (16, 16, 1)
    assert known[:7].all()
    assert known[:, :7].all()
    assert not known[9:, 9:].any()
    # Where nothing is cropped, it stays as it is.
    if size == 16:
        _, known = observations._fit(photo, mask, 16, 16, 0.5, "auto")
        np.testing.assert_array_equal(known[..., 0] * 255, mask)
