"""Bulk restoration: what each file gets, what fails and why, and what a second run does."""

import dataclasses
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from test_scripts import run_script

import tfgpr
from tfgpr import bulk
from tfgpr.serving import export_savedmodel

pytest.importorskip("apache_beam", reason="the extra [beam] is not installed")

from tfgpr.bulk import handler, steps

ROOT = pathlib.Path(__file__).parent.parent
ITERATIONS, BATCH = 3, 4


def quick(make):
    task = make()
    return dataclasses.replace(task, default=task.default.with_iterations(ITERATIONS))


TASKS = [quick(tfgpr.tasks.super_resolution), quick(tfgpr.tasks.inpainting)]


@pytest.fixture(scope="module")
def models(tiny_prior, tmp_path_factory):
    base = tmp_path_factory.mktemp("bulk") / "models"
    export_savedmodel(tiny_prior, base, tasks=TASKS)
    return str(base)


def png(image):
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_all(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def pictures(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, [count, size, size, 3], np.uint8)


SMALL = {f"{'ab'[i % 2]}/{i // 2:02d}.png": image for i, image in enumerate(pictures(22, 8))}
BROKEN = {
    "text.png": (b"no picture", "cannot identify image file"),
    "a/empty.jpg": (b"", "cannot identify image file"),
    "b/half.png": (png(pictures(1, 8)[0])[:-60], "readable image"),
    "b/large.png": (png(pictures(1, 9)[0]), "8x8 pixels"),
}
IGNORED = {"notes.md": b"# Photos", ".hidden.png": b"", "a/.trash/old.png": b""}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos [1]")  # looks like a wildcard
    write_all(folder, {name: png(image) for name, image in SMALL.items()})
    write_all(folder, {name: content for name, (content, _) in BROKEN.items()})
    write_all(folder, IGNORED)
    return folder


def restore(source, output, models, task="super_resolution", **settings):
    settings = {"crop": "none", "batch_size": BATCH, **settings}
    return bulk.restore_bulk(str(source), str(output), task, models, **settings)


@pytest.fixture(scope="module")
def first(photos, models, tmp_path_factory):
    """The counts and the folder of an uninterrupted run."""
    output = tmp_path_factory.mktemp("restored")
    return restore(photos, output, models), output


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def as_pixels(path):
    return np.asarray(PIL.Image.open(path))


def assert_near(found, images):
    """Equal to the rounding to 8 bits of what may differ in its last bits."""
    assert np.abs(found - 255.0 * np.asarray(images)).max() <= 0.5 + 0.1


def test_every_good_file_gets_what_python_makes_of_it(first, photos, tiny_prior):
    counts, output = first
    result = tfgpr.Restorer(tiny_prior, TASKS[0]).restore(np.stack(list(SMALL.values())))
    assert_near(np.stack([as_pixels(output / name) for name in SMALL]), result.images)
    report = lines(output / "report.jsonl")
    assert [row["file"] for row in report] == sorted(str(photos / name) for name in SMALL)
    losses = {row["picture"]: row["loss"] for row in report}
    np.testing.assert_allclose([losses[name] for name in SMALL], result.loss, 1e-3)
    assert counts["restored"] == counts["inferences"] == len(SMALL)
    assert counts["found"] == len(SMALL) + len(BROKEN)
    assert set(tree(output)) == {*SMALL, "report.jsonl", "failed.jsonl"}


def test_the_model_is_loaded_once_and_runs_full_batches(first):
    counts, _ = first
    assert counts["models loaded"] == 1
    assert counts["batches"] == -(-len(SMALL) // BATCH)


def test_each_broken_file_is_listed_with_its_reason(first, photos):
    counts, output = first
    reasons = {row["file"]: row["reason"] for row in lines(output / "failed.jsonl")}
    assert set(reasons) == {str(photos / name) for name in BROKEN}
    assert counts["failed"] == len(BROKEN)
    for name, (_, why) in BROKEN.items():
        assert why in reasons[str(photos / name)]
        assert "0x" not in reasons[str(photos / name)]  # an address would differ next time


def test_a_second_run_does_nothing(first, photos, models):
    _, output = first
    before = tree(output), [(output / name).stat().st_mtime_ns for name in SMALL]
    counts = restore(photos, output, models)
    assert counts["skipped"] == len(SMALL)
    assert counts["restored"] == counts.get("inferences", 0) == 0
    assert before == (tree(output), [(output / name).stat().st_mtime_ns for name in SMALL])


KILLED_IN_A_WRITE = """
import os, pathlib, signal, sys
from tfgpr import bulk
from tfgpr.bulk import pipeline, storage
os_replace, written = os.replace, []
def replace(partial, path):
    written.append(path)
    if len(written) == 10:
        partial.write_bytes(partial.read_bytes()[:50])
        os.kill(os.getpid(), signal.SIGKILL)
    os_replace(partial, path)
os.replace = replace
source, output, models = sys.argv[1:]
bulk.restore_bulk(source, output, "super_resolution", models, crop="none", batch_size=4)
"""


def test_a_killed_run_ends_the_same_when_continued(first, photos, models, tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_IN_A_WRITE, str(photos), str(tmp_path), models],
        cwd=ROOT,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    left = tree(tmp_path)
    assert sum(name in SMALL for name in left) == 9
    assert "report.jsonl" not in left
    counts = restore(photos, tmp_path, models)
    assert counts["skipped"] == 9
    assert tree(tmp_path) == tree(first[1])


def test_a_failing_run_raises_and_can_be_continued(first, photos, models, tmp_path, monkeypatch):
    class Failing(handler.SavedModelHandler):
        def run_inference(self, batch, model, inference_args=None):
            if steps.TALLY["restored"] >= 2 * BATCH:
                raise RuntimeError("planted")
            return super().run_inference(batch, model, inference_args)

    with monkeypatch.context() as patch:
        patch.setattr(handler, "SavedModelHandler", Failing)
        with pytest.raises(Exception, match="planted"):
            restore(photos, tmp_path, models)
    assert restore(photos, tmp_path, models)["skipped"] == 2 * BATCH
    assert tree(tmp_path) == tree(first[1])


def test_batch_mates_and_damaged_pictures(first, photos, models, tmp_path):
    """Other mates, another order and a list rather than a folder: the same bytes."""
    names = list(SMALL)[::-3]
    (tmp_path / "list.txt").write_text("\n".join(str(photos / name) for name in names) + "\n\n")
    output = tmp_path / "out"
    write_all(output, {names[0]: (first[1] / names[0]).read_bytes()[:-20]})
    restore(tmp_path / "list.txt", output, models, root=str(photos))
    for name in names:
        assert (output / name).read_bytes() == (first[1] / name).read_bytes()


def test_a_list_with_an_absent_file_and_two_of_one_picture(models, tmp_path):
    good = png(SMALL["a/00.png"])
    write_all(tmp_path / "in", {"x.png": good, "x.jpeg": good, "y.bmp": good})
    paths = [str(tmp_path / "in" / name) for name in ("x.png", "x.jpeg", "y.bmp", "no.png")]
    (tmp_path / "list.txt").write_text("\n".join([*paths, paths[2], "../../up.png"]))
    counts = restore(tmp_path / "list.txt", tmp_path / "out", models, shards=2)
    reasons = {}
    for shard in (0, 1):
        path = tmp_path / "out" / f"failed-{shard:05d}-of-00002.jsonl"
        reasons.update({row["file"]: row["reason"] for row in lines(path)})
    assert set(reasons) == {paths[0], paths[1], paths[3], "../../up.png"}
    assert "rename one" in reasons[paths[0]]
    assert "absent" in reasons[paths[3]]
    assert "stays below" in reasons["../../up.png"]
    assert counts["restored"] == counts["listed again"] == 1
    assert (tmp_path / "out" / f"{tmp_path}/in/y.png".lstrip("/")).is_file()


def test_what_was_made_from_something_else_stays_unless_overwritten(models, tmp_path):
    images = dict(list(SMALL.items())[:3])
    write_all(tmp_path / "in", {name: png(image) for name, image in images.items()})
    restore(tmp_path / "in", tmp_path / "out", models)
    before = tree(tmp_path / "out")
    changed, foreign, kept = images
    write_all(tmp_path / "in", {changed: png(255 - images[changed])})
    write_all(tmp_path / "out", {foreign: png(images[foreign])})
    counts = restore(tmp_path / "in", tmp_path / "out", models)
    assert (counts["skipped"], counts["failed"]) == (1, 2)
    assert (tmp_path / "out" / changed).read_bytes() == before[changed]
    assert (tmp_path / "out" / foreign).read_bytes() == png(images[foreign])
    counts = restore(tmp_path / "in", tmp_path / "out", models, overwrite=True)
    assert (counts["skipped"], counts["restored"]) == (1, 2)
    after = tree(tmp_path / "out")
    assert after[changed] != before[changed]
    assert (after[foreign], after[kept]) == (before[foreign], before[kept])


def test_inpainting_with_one_mask_and_with_one_for_each(models, tiny_prior, tmp_path):
    images = pictures(3, 32, seed=1)
    known = np.full([3, 32, 32], 255, np.uint8)
    for row in range(3):
        known[row, 4 : 12 + 4 * row, 6:20] = 0
    folder, masks = tmp_path / "in", tmp_path / "masks"
    write_all(folder, {f"{i}.bmp": png(image) for i, image in enumerate(images)})
    write_all(masks, {"0.bmp": png(known[0]), "1.png": png(known[1])})
    restorer = tfgpr.Restorer(tiny_prior, TASKS[1])

    restore(folder, tmp_path / "each", models, "inpainting", known=str(masks))
    (failed,) = lines(tmp_path / "each" / "failed.jsonl")
    assert failed["file"] == str(folder / "2.bmp")
    assert "absent" in failed["reason"]
    found = np.stack([as_pixels(tmp_path / "each" / f"{i}.png") for i in range(2)])
    expected = restorer.restore(images[:2], known=known[:2, ..., None])
    assert_near(found, expected.images)

    write_all(masks, {"2.png": np.full([1], 7, np.uint8).tobytes()})
    restore(folder, tmp_path / "each", models, "inpainting", known=str(masks))
    (failed,) = lines(tmp_path / "each" / "failed.jsonl")
    assert "the mask of" in failed["reason"]

    restore(folder / "2.bmp", tmp_path / "one", models, "inpainting", known=str(masks / "1.png"))
    expected = restorer.restore(images[2:], known=known[1:2, ..., None])
    assert_near(as_pixels(tmp_path / "one" / "2.png")[None], expected.images)


def test_an_image_that_the_graph_refuses_leaves_its_mates_alone(models):
    good = {"observed": SMALL["a/00.png"].astype(np.float32) / 255}
    bad = {"observed": np.full([8, 8, 3], np.nan, np.float32)}
    running = handler.SavedModelHandler(handler.find_version(models), "super_resolution", BATCH)
    model = running.load_model()
    answers = running.run_inference([good, bad, good], model)
    assert "finite observed" in answers[1]["error"]
    (alone,) = running.run_inference([good], model)
    for answer in (answers[0], answers[2]):
        np.testing.assert_array_equal(answer["restored"], alone["restored"])


@pytest.mark.parametrize("shards", [1, 2])
def test_the_report_keeps_the_lines_of_earlier_runs(photos, first, models, tmp_path, shards):
    """Two runs into one folder report what one run of both would."""
    report = {row["picture"]: row for row in lines(first[1] / "report.jsonl")}
    output = tmp_path / "out"
    for folder in ("a", "b", "a"):
        restore(photos / folder, output, models, root=str(photos), shards=shards)

    def found():
        files = sorted(output.glob("report*.jsonl"))
        assert len(files) == shards
        rows = [row for file in files for row in lines(file)]
        assert len(rows) == len({row["picture"] for row in rows})
        return {row["picture"]: row for row in rows}

    assert found() == report
    # Of a picture that went, or that is no longer the one of the line, no line stays.
    (output / "b/00.png").unlink()
    write_all(output, {"b/01.png": png(SMALL["b/01.png"])})
    # Another file of the same content makes the same picture: it has one line, the new one.
    shutil.copytree(photos / "a", tmp_path / "copy" / "a")
    restore(tmp_path / "copy" / "a", output, models, root=str(tmp_path / "copy"), shards=shards)
    expected = {name: row for name, row in report.items() if name not in ("b/00.png", "b/01.png")}
    for name, row in expected.items():
        if name.startswith("a/"):
            expected[name] = {**row, "file": str(tmp_path / "copy" / name)}
    assert found() == expected


def test_mistakes_are_named_before_anything_runs(photos, models, tmp_path):
    (tmp_path / "none").mkdir()
    copy = tmp_path / "copy"
    shutil.copytree(photos / "a", copy)
    output = tmp_path / "out"

    def paint(name, value):
        write_all(tmp_path, {name: png(np.full([32, 32], value, np.uint8))})
        restore(photos, output, models, "inpainting", known=str(tmp_path / name))

    for mistake, message in [
        (lambda: restore(tmp_path / "none", output, models), "absent, or where no file"),
        (lambda: restore(photos, output, str(tmp_path)), "an export"),
        (lambda: restore(photos, output, models, "denoising"), "Expected a task"),
        (lambda: restore(photos, output, models, "inpainting"), "Expected a mask"),
        (lambda: restore(photos, output, models, known="m.png"), "Expected no mask"),
        (lambda: restore(photos, output, models, batch_size=0), "from 1 on"),
        (lambda: restore(copy, copy / "out", models), "outside of the input"),
        (lambda: restore(photos, copy / "00.png" / "x", models), "is a file"),
        (lambda: paint("white.png", 255), "nothing is left to restore"),
        (lambda: paint("black.png", 0), "nothing is observed"),
        (lambda: restore(photos, output, models, flags=["--iteratons=3"]), "--iteratons"),
        (lambda: restore(photos, output, models, flags=["photos"]), "--name=value"),
    ]:
        with pytest.raises(tfgpr.InputError, match=message):
            mistake()
    assert not output.exists()


def test_the_script_ends_with_1_where_files_failed(photos, models, tmp_path, capsys):
    arguments = ["--task=super_resolution", f"--input={photos}/b", f"--model={models}"]
    arguments += [f"--output={tmp_path}", "--crop=none", f"--batch_size={BATCH}"]
    assert run_script("scripts/restore_bulk.py", *arguments) == 1
    printed = capsys.readouterr()
    assert "restored                   11" in printed.out
    assert f"{tmp_path}/failed" in printed.out
    assert "Traceback" not in printed.err


INTERRUPTED_IN_A_WRITE = """
import os, runpy, signal, sys
from tfgpr.bulk import storage
# A parent that runs in the background may have handed down that SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
def write(path, content):
    os.kill(os.getpid(), signal.SIGINT)
storage.write = write
runpy.run_path("scripts/restore_bulk.py", run_name="__main__")
"""


def test_an_interrupt_is_one_line(photos, models, tmp_path):
    flags = ["--task=super_resolution", f"--input={photos}", f"--model={models}", "--crop=none"]
    finished = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN_A_WRITE, *flags, f"--output={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 130
    assert finished.stderr.endswith("\nInterrupted.\n")
    assert "Traceback" not in finished.stderr


def test_the_script(first, photos, models, tmp_path, capsys):
    pattern = str(photos / "a" / "*.png").replace("[", "?")
    arguments = ["--task=super_resolution", f"--input={pattern}", f"--model={models}"]
    arguments += [f"--root={photos}/a", f"--output={tmp_path}", "--crop=none"]
    arguments += [f"--batch_size={BATCH}"]
    assert run_script("scripts/restore_bulk.py", *arguments, "--direct_num_workers=1") == 0
    assert "restored                   11" in capsys.readouterr().out
    assert (tmp_path / "03.png").read_bytes() == (first[1] / "a/03.png").read_bytes()
    assert run_script("scripts/restore_bulk.py", *arguments, "--overwrit") == 2
    assert "--overwrit." in capsys.readouterr().err
