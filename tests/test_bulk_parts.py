"""The parts of a bulk run that need no run: which exports it takes, names, progress."""

import pathlib
import shutil
import time

import numpy as np
import pytest

import tfgpr
from tfgpr import bulk
from tfgpr.images import write_png
from tfgpr.serving import export_savedmodel

pytest.importorskip("apache_beam", reason="the extra [beam] is not installed")

from tfgpr.bulk import handler, inputs, pipeline, steps, storage


def test_the_highest_version_or_the_one_named(tmp_path):
    for name in ("2", "10", "x11", ".writing-3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    (tmp_path / "12").mkdir()
    assert handler.find_version(str(tmp_path)) == str(tmp_path / "10")
    assert handler.find_version(f"{tmp_path}/2/") == str(tmp_path / "2")


def test_wildcards_in_the_name_of_a_model_are_no_wildcards(tmp_path):
    for name in ("br[1]", "br1", "all*", "all-of-them"):
        path = tmp_path / name / "3" / "saved_model.pb"
        path.parent.mkdir(parents=True)
        path.touch()
        assert handler.find_version(str(tmp_path / name)) == str(path.parent)
    assert storage.first_match(storage.everything_below(str(tmp_path / "br[1]")))
    assert not storage.first_match(storage.everything_below(str(tmp_path / "br[3]")))


@pytest.fixture(scope="module")
def export(tiny_prior, tmp_path_factory):
    task = tfgpr.tasks.super_resolution()
    base = tmp_path_factory.mktemp("bulk")
    settings = {"tasks": [task], "default_task": task.name, "iterations": 1}
    return export_savedmodel(tiny_prior, base, **settings)


def damaged(export, folder, name, change):
    """A copy of an export in which `change` was made to the content of one file."""
    shutil.copytree(export, folder)
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    return str(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("saved_model.pb", lambda content: content[:-100], "a whole export"),
        ("saved_model.pb", lambda content: b"", "no signature super_resolution"),
        ("variables/variables.data-00000-of-00001", lambda content: content[:-9], "whole export"),
        ("variables/variables.index", lambda content: content[:-9], "a whole export"),
        ("metadata.json", lambda content: b"[]", "none of ours"),
        ("metadata.json", lambda content: b'{"tasks": {}, "prior": 1}', "none of ours"),
        ("metadata.json", lambda content: b"{", "none of ours"),
    ],
)
def test_a_damaged_export_is_refused_before_anything_runs(export, tmp_path, name, change, message):
    model = damaged(export, tmp_path / "export", name, change)
    write_png(tmp_path / "photos" / "a.png", np.zeros([8, 8, 3]))
    with pytest.raises(tfgpr.InputError, match=message):
        bulk.restore_bulk(
            str(tmp_path / "photos"), str(tmp_path / "out"), "super_resolution", model
        )
    assert not (tmp_path / "out").exists()


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """The current folder, with pictures in it and below."""
    monkeypatch.chdir(tmp_path)
    for name in ("face.png", "faces/1.png", "faces/old/2.png"):
        write_png(name, np.zeros([8, 8, 3]))
    pathlib.Path("list.txt").write_text("face.png")


ACCEPTED = [
    ("face.png", None, "restored"),
    ("./face.png", None, "./restored"),
    ("*.png", None, "restored"),
    ("faces/*.png", None, "faces/restored"),
    ("faces/*/2.png", None, "faces/old/restored"),
    ("list.txt", ".", "restored"),
    ("faces", None, "restored"),
    ("faces/**.png", None, "faces2"),
]
NESTED = [
    ("faces", None, "faces/restored"),
    ("faces/", None, "./faces/old"),
    ("faces/old", "faces", "faces/old/restored"),
    ("faces/**.png", None, "faces/restored"),
    ("**/1.png", None, "restored"),
    # Each picture would take the place of its file.
    ("face.png", None, "."),
    ("faces/*.png", None, "faces/"),
    ("faces/old", "faces", "faces"),
    ("list.txt", ".", "."),
]


@pytest.mark.parametrize(("source", "root", "output"), ACCEPTED)
def test_an_output_that_no_second_run_would_restore_is_taken(beside, source, root, output):
    _, root, tree = inputs.listing_of(source, root)
    inputs.require_output(output, root, tree)


@pytest.mark.parametrize(("source", "root", "output"), NESTED)
def test_an_output_that_a_second_run_would_restore_is_refused(beside, source, root, output):
    _, root, tree = inputs.listing_of(source, root)
    with pytest.raises(tfgpr.InputError, match="outside of the input"):
        inputs.require_output(output, root, tree)


def test_an_absent_file_system_is_named_before_anything_runs(export, tmp_path):
    """Beam raises ValueError for a scheme whose extra is not installed."""
    write_png(tmp_path / "a.png", np.zeros([8, 8, 3]))
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.png")
    here = {"source": tmp_path / "a.png", "output": tmp_path / "out", "model": export}
    for name, path in [
        ("source", "nowhere://b/list.txt"),
        ("source", "nowhere://b/photos"),
        ("model", "nowhere://b/models"),
        ("output", "nowhere://b/out"),
    ]:
        with pytest.raises(tfgpr.InputError, match=f"{path}.*filesystem"):
            bulk.restore_bulk(**{**here, name: path}, task="super_resolution", crop="none")
    assert not (tmp_path / "out").exists()
    # Paths in place of strings.
    counts = bulk.restore_bulk(**here, task="super_resolution", crop="none", root=tmp_path)
    assert counts["restored"] == 1
    assert (tmp_path / "out" / "a.png").is_file()


def test_a_task_of_ones_own_is_refused_before_anything_runs(tiny_prior, tmp_path):
    own = tfgpr.tasks.custom("blurred", tfgpr.operators.GaussianBlur(2.0))
    export_savedmodel(tiny_prior, tmp_path / "models", tasks=[own], iterations=1)
    write_png(tmp_path / "a.png", np.zeros([32, 32, 3]))
    with pytest.raises(tfgpr.InputError, match="'blurred'"):
        bulk.restore_bulk(
            tmp_path / "a.png", tmp_path / "out", "blurred", tmp_path / "models", crop="none"
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("path", "root", "name"),
    [
        ("photos/a/x.png", "photos", "a/x.png"),
        ("./photos//a/x.png", "photos/", "a/x.png"),
        ("x.png", ".", "x.png"),
        ("/x.png", "/", "x.png"),
        ("../in/x.png", "../in", "x.png"),
        ("/data/photos2/x.png", "/data/photos", "data/photos2/x.png"),
        ("gs://bucket/in/a/x.jpg", "gs://bucket/in", "a/x.jpg"),
        ("gs://bucket/x.jpg", "", "bucket/x.jpg"),
        ("a/../../x.png", "", None),
    ],
)
def test_names_below_a_root(path, root, name):
    if name is None:
        with pytest.raises(tfgpr.InputError):
            storage.below(path, root)
    else:
        assert storage.below(path, root) == name


def test_the_picture_of_a_name():
    assert [storage.target(name) for name in ("a/x.JPG", "x.png", "x.tif", "x")] == [
        "a/x.png", "x.png", "x.tif.png", "x.png",
    ]  # fmt: skip


def test_progress_is_told():
    said = []
    with pipeline._progress(said.append, began=0.0, seconds=0.01):
        steps.TALLY.update(found=5, restored=2, failed=1)
        while not said:
            time.sleep(0.001)
    assert "3 of 5: 2 restored" in said[0]
