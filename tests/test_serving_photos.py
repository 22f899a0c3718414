"""What a server tells of its prior and tasks, and what the client's script makes of photos."""

import copy

import numpy as np
import pytest
from test_scripts import run_script
from test_serving_client import quiet

import tfgpr
from tfgpr import images
from tfgpr.errors import InputError
from tfgpr.serving import RestoreClient, export_savedmodel


def by_script(server, task, photo, output):
    """What export/restore_client.py makes of a clean photo."""
    given = [f"--target=localhost:{server.port}", f"--task={task.name}", "--corrupt"]
    given += [f"--input={photo}", f"--output={output}"]
    assert run_script("export/restore_client.py", *given) == 0
    return images.read_image(output / photo.name)


def forget(client, signature):
    """Lets the client think that the server does not have a signature, as of an older export."""
    client._known_signatures = client.signatures()
    del client._known_signatures[signature]


@pytest.mark.parametrize("crop", [0.4, None])
def test_photos_are_cropped_as_the_served_prior_was_trained(tiny_prior, tmp_path, rng, crop):
    photo = rng.integers(0, 256, (50, 60, 3), np.uint8)
    images.write_png(tmp_path / "photo.png", photo)
    prior = copy.copy(tiny_prior)
    prior.crop = crop
    task = tfgpr.tasks.super_resolution()
    export_savedmodel(prior, tmp_path / "tfgpr", iterations=1, tasks=[task])
    cut = images.as_images(images.crop_and_resize(photo, 32, crop or 1.0))
    with (
        quiet(tmp_path / "tfgpr", poll_seconds=0) as server,
        RestoreClient(f"localhost:{server.port}") as client,
    ):
        assert client.crop() == crop
        expected = client.restore(task.name, task.corruption(cut).numpy()).images[0]
        restored = by_script(server, task, tmp_path / "photo.png", tmp_path / "out")
        forget(client, "prior_crop")
        assert client.crop() == images.FACE_CROP, "an older export is of aligned CelebA"
    np.testing.assert_array_equal(restored, images.to_uint8(expected))


@pytest.mark.parametrize(
    ("task", "observe"),
    [
        (tfgpr.tasks.colorization(value=True), lambda x: x.max(axis=-1, keepdims=True)),
        (tfgpr.tasks.dequantization(steps=7), lambda x: np.round(7 * x) / 7),
        (tfgpr.tasks.super_resolution(factor=8, method="box"), lambda x: mean_of_blocks(x, 8)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_photos_are_observed_with_the_settings_that_are_served(
    tiny_prior, tmp_path, rng, task, observe
):
    photo = rng.integers(0, 256, (32, 32, 3), np.uint8)
    images.write_png(tmp_path / "photo.png", photo)
    export_savedmodel(tiny_prior, tmp_path / "tfgpr", iterations=1, tasks=[task])
    with (
        quiet(tmp_path / "tfgpr", poll_seconds=0) as server,
        RestoreClient(f"localhost:{server.port}") as client,
    ):
        assert client.task(task.name).settings == task.settings
        observed = observe(images.as_images(photo)).astype(np.float32)
        expected = client.restore(task.name, observed).images[0]
        restored = by_script(server, task, tmp_path / "photo.png", tmp_path / "out")
        forget(client, "task_settings")
        default = tfgpr.tasks.TASKS[task.name]()
        assert client.task(task.name).settings == default.settings, "an older export"
    assert np.abs(restored.astype(int) - images.to_uint8(expected)).max() <= 1


def test_a_task_of_ones_own_by_a_name_of_the_papers_is_not_taken_for_it(tiny_prior, tmp_path):
    blurred = tfgpr.tasks.custom("denoising", tfgpr.operators.GaussianBlur(2.0))
    export_savedmodel(tiny_prior, tmp_path / "tfgpr", iterations=1, tasks=[blurred])
    with (
        quiet(tmp_path / "tfgpr", poll_seconds=0) as server,
        RestoreClient(f"localhost:{server.port}") as client,
        pytest.raises(InputError, match="somebody's own by that name"),
    ):
        client.task("denoising")


def mean_of_blocks(x, side):
    return x.reshape(len(x), x.shape[1] // side, side, -1, side, 3).mean((2, 4))
