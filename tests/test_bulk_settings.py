"""Bulk runs observe with the settings of the export."""

import numpy as np
import pytest
from test_bulk import as_pixels, assert_near, pictures, png, quick, restore, tree, write_all

import tfgpr
from tfgpr.errors import InputError
from tfgpr.serving import export_savedmodel


def test_files_are_observed_with_the_settings_of_the_export(tmp_path, tiny_prior):
    tasks = [tfgpr.tasks.colorization(value=True), tfgpr.tasks.dequantization(steps=7)]
    tasks = [quick(lambda task=task: task) for task in tasks]
    export_savedmodel(tiny_prior, tmp_path / "models", tasks=tasks)
    colors = pictures(2, tiny_prior.image_size) / 255.0
    observed = {
        "colorization": colors.max(axis=-1, keepdims=True),  # V of HSV
        "dequantization": np.round(7 * colors) / 7,
    }
    for task in tasks:
        stored = colors if task.name == "colorization" else observed[task.name]
        folder, output = tmp_path / task.name, tmp_path / f"{task.name} restored"
        stored = [png(np.round(255 * image).astype(np.uint8)) for image in stored]
        write_all(folder, {f"{i}.png": content for i, content in enumerate(stored)})
        counts = restore(folder, output, tmp_path / "models", task.name)
        assert counts["restored"] == 2, tree(output)
        found = np.stack([as_pixels(output / f"{i}.png") for i in range(2)])
        result = tfgpr.Restorer(tiny_prior, task).restore(observed[task.name].astype(np.float32))
        assert_near(found, result.images)


def test_a_task_of_ones_own_by_a_name_of_the_papers_takes_no_files(tmp_path, tiny_prior):
    blurred = tfgpr.tasks.custom("denoising", tfgpr.operators.GaussianBlur(2.0))
    export_savedmodel(tiny_prior, tmp_path / "models", tasks=[quick(lambda: blurred)])
    write_all(tmp_path / "files", {"0.png": png(pictures(1, tiny_prior.image_size)[0])})
    with pytest.raises(InputError, match="somebody's own by that name"):
        restore(tmp_path / "files", tmp_path / "restored", tmp_path / "models", "denoising")
    assert not (tmp_path / "restored").exists()
