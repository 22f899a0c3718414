"""Images from folders and from TFDS, as batches for training."""

import sys

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tfgpr import data, images
from tfgpr.errors import InputError


@pytest.fixture
def folder(tmp_path, rng):
    """Six readable images of several sizes and kinds, a truncated one and a text file."""
    for i, (width, height) in enumerate([(89, 109), (178, 218), (64, 64)] * 2):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        suffix = ".png" if i % 2 else ".jpg"
        PIL.Image.fromarray(pixels).save(tmp_path / f"{i}{suffix}")
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "7.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "8.jpg").write_text("no image")
    (tmp_path / "notes.txt").write_text("ignored")
    return tmp_path


def test_unreadable_files_are_skipped_counted_and_named(folder):
    source = data.FolderImages(folder, 32)
    found = list(source.dataset().as_numpy_iterator())
    assert len(source.files) == 8
    assert [image.shape for image in found] == [(32, 32, 3)] * 6
    assert {file.name for file in source.unreadable} == {"7.png", "8.jpg"}
    np.testing.assert_array_equal(source.load(), np.stack(found))


def test_a_slice_of_the_sorted_files(folder):
    source = data.FolderImages(folder, 32, first=1, count=2)
    assert [file.name for file in source.files] == ["1.png", "2.jpg"]
    with pytest.raises(InputError, match="from index 20"):
        data.FolderImages(folder, 32, first=20)


def test_a_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(InputError, match="with none"):
        data.FolderImages(tmp_path)
    with pytest.raises(InputError, match="absent"):
        data.FolderImages(tmp_path / "nowhere")
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(InputError, match="1 bad"):
        data.FolderImages(tmp_path).load()


def test_full_and_half_size_files_give_the_same_face(rng):
    """The crop is relative to the width, so the scale of the file does not matter."""
    y, x = np.mgrid[0:218, 0:178] / 178.0
    smooth = np.stack([x, y / 1.3, (x + y) / 2.3], axis=-1)
    full = np.uint8(255 * smooth)
    half = np.asarray(PIL.Image.fromarray(full).resize((89, 109), PIL.Image.Resampling.BOX))
    a, b = images.crop_and_resize(full, 64), images.crop_and_resize(half, 64)
    assert np.abs(a.astype(int) - b).max() <= 2
    expected = 255 * (35 + 108 * (np.arange(64) + 0.5) / 64) / 178  # x over the central 108
    np.testing.assert_allclose(a[32, :, 0], expected, atol=2)


def test_images_without_crop_must_have_the_size(rng):
    image = rng.integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(images.crop_and_resize(image, 32, None), image)
    with pytest.raises(InputError, match="64x64"):
        images.crop_and_resize(image, 64, None)


def numbered(count, size=4):
    """Image i has the gray value i, but for a left column of zeros."""
    pixels = np.tile(np.arange(count, dtype=np.uint8)[:, None, None, None], (1, size, size, 3))
    pixels[:, :, 0] = 0
    return tf.data.Dataset.from_tensor_slices(pixels)


def values(batches):
    return [np.round(255 * batch[:, 0, 1, 0]).astype(int) for batch in batches]


def test_batches_are_shuffled_scaled_flipped_and_endless():
    batches = data.training_batches(numbered(40), 40, batch_size=8, seed=3).take(10)
    batches = list(batches.as_numpy_iterator())
    assert all(batch.shape == (8, 4, 4, 3) and batch.dtype == np.float32 for batch in batches)
    first_pass = np.concatenate(values(batches)[:5])
    assert sorted(first_pass) == list(range(40)), "each image once in a pass"
    assert list(first_pass) != list(range(40))
    assert list(first_pass) != list(np.concatenate(values(batches)[5:])), "a new order each pass"
    flipped = np.concatenate([batch[:, 0, 3, 0] == 0 for batch in batches])
    assert 20 < flipped.sum() < 60
    unflipped = data.training_batches(numbered(40), 40, 8, flip=False).take(5)
    assert all((batch[:, :, 0] == 0).all() for batch in unflipped.as_numpy_iterator())


def test_celeb_a_from_tfds_is_cropped_like_a_folder():
    with tfds.testing.mock_data(num_examples=5):
        dataset = data.celeb_a(32)
        found = list(dataset.as_numpy_iterator())
        raw = [example["image"] for example in tfds.load("celeb_a", split="train")]
    assert len(found) == 5
    for image, example in zip(found, raw):
        np.testing.assert_array_equal(image, images.crop_and_resize(example.numpy(), 32))


def test_celeb_a_without_tfds_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(InputError, match=r"tfgpr\[datasets\]"):
        data.celeb_a(32)


def test_the_download_quota_of_celeb_a_has_a_way_round(monkeypatch, tmp_path):

    class Quota:
        _data_dir_root = "data"

        def download_and_prepare(self):
            raise RuntimeError("Too many users have viewed or downloaded this file recently")

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Quota())
    with pytest.raises(InputError, match=r"(?s)Too many users.*data/downloads/manual.*folder"):
        data.celeb_a(32)


def test_more_images_than_the_limit_are_read_again_each_pass(monkeypatch, tmp_path):
    """200,000 decoded images need not fit into memory."""
    reads = []

    class Counted(data.FolderImages):
        def read(self, index):
            reads.append(int(index))
            return super().read(index)

    for i in range(6):
        images.write_png(tmp_path / f"{i}.png", np.full((4, 4, 3), i, np.uint8))
    source = Counted(tmp_path, 4, None)
    for limit, expected in ((2**20, 6), (0, 12)):
        monkeypatch.setattr(data, "_CACHE_LIMIT", limit)
        reads.clear()
        batches = data.training_batches(source.dataset(mixed=True), 6, batch_size=6, flip=False)
        passes = [sorted(v) for v in values(batches.take(2).as_numpy_iterator())]
        assert passes == [list(range(6))] * 2
        assert len(reads) >= expected if limit == 0 else len(reads) == expected
