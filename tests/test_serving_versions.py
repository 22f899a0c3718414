"""Version folders: whole or absent, whoever looks, however the exporter ends."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

import tfgpr
from tfgpr.errors import InputError
from tfgpr.serving import export_savedmodel
from tfgpr.serving.versions import new_version, versions

ROOT = pathlib.Path(__file__).parent.parent
FILES = [
    "saved_model.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "assets.extra/tf_serving_warmup_requests",
    "metadata.json",
]
EXPORTER = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
from conftest import make_tiny_prior
import tfgpr
from tfgpr.serving import export_savedmodel
prior, task = make_tiny_prior(), tfgpr.tasks.denoising()
for _ in range(100):
    export_savedmodel(prior, sys.argv[1], None, 1, task.name, tasks=[task])
"""


def sizes(version):
    return [(version / name).stat().st_size for name in FILES]


def write(base, number=None):
    with new_version(base, number) as (folder, made):
        (folder / "file").write_text("x")
    return made[0]


def test_the_next_free_number_is_taken(tmp_path):
    assert versions(tmp_path / "absent") == []
    assert write(tmp_path / "base") == tmp_path / "base" / "1"
    assert write(tmp_path / "base", 7).name == "7"
    assert write(tmp_path / "base").name == "8"
    assert versions(tmp_path / "base") == [1, 7, 8]


def test_a_version_is_never_replaced(tmp_path):
    write(tmp_path, 3)
    with pytest.raises(InputError, match="free version"):
        write(tmp_path, 3)
    with pytest.raises(InputError, match="from 1 on"):
        write(tmp_path, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=str(2**63 - 1)):
        write(tmp_path, 2**63)
    for base in (tmp_path / "file", tmp_path / "file" / "x" / "y"):
        with pytest.raises(InputError, match="a file"):
            write(base)


def test_a_file_that_is_called_like_a_version_is_left_alone(tmp_path):
    (tmp_path / "1").write_text("notes")
    with pytest.raises(InputError, match="free version"):
        write(tmp_path, 1)
    assert write(tmp_path).name == "2"
    assert (tmp_path / "1").read_text() == "notes"
    assert versions(tmp_path) == [2]


def test_a_file_that_is_made_meanwhile_is_left_alone(tmp_path):
    for number in (None, 1):
        late = new_version(tmp_path / str(number), number)
        late.__enter__()
        (tmp_path / str(number) / "1").write_text("notes")
        if number is None:
            late.__exit__(None, None, None)
            assert versions(tmp_path / "None") == [2]
        else:
            with pytest.raises(InputError, match="another export"):
                late.__exit__(None, None, None)


def test_two_exports_at_a_time_both_get_a_number(tmp_path):
    with new_version(tmp_path) as (first, one), new_version(tmp_path) as (second, two):
        (first / "file").write_text("first")
        (second / "file").write_text("second")
    assert (two[0] / "file").read_text() == "second"
    assert (one[0] / "file").read_text() == "first"
    assert versions(tmp_path) == [1, 2]
    late = new_version(tmp_path, 3)
    (late.__enter__()[0] / "file").write_text("late")
    write(tmp_path, 3)
    with pytest.raises(InputError, match="another export"):
        late.__exit__(None, None, None)
    assert (tmp_path / "3" / "file").read_text() == "x"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_failed_export_leaves_nothing(tmp_path, tiny_prior, monkeypatch):
    def full(*_, **__):
        raise OSError("disk full")

    for name in ("tf.saved_model.save", "_write_warmup", "write_json"):
        with monkeypatch.context() as patch:
            patch.setattr(f"tfgpr.serving.export.{name}", full)
            with pytest.raises(OSError, match="disk full"):
                export_savedmodel(
                    tiny_prior, tmp_path, 1, 1, "denoising", tasks=[tfgpr.tasks.denoising()]
                )
        assert not list(tmp_path.iterdir())


def test_an_abandoned_folder_is_removed_a_day_later(tmp_path):
    for name, age in ((".writing-old", 2 * 86400), (".writing-new", 60)):
        (tmp_path / name).mkdir()
        then = time.time() - age
        os.utime(tmp_path / name, (then, then))
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".writing-new", "1"}


def test_bad_settings_are_refused_before_anything_is_written(tmp_path, tiny_prior):
    with pytest.raises(InputError, match="default task"):
        export_savedmodel(tiny_prior, tmp_path / "base", default_task="sharpening")
    with pytest.raises(InputError, match="iterations"):
        export_savedmodel(tiny_prior, tmp_path / "base", iterations=0)
    assert not (tmp_path / "base").exists()


def test_a_killed_exporter_leaves_only_whole_versions(tmp_path):
    """Watched all along, and killed at a random moment of a later export."""
    base = tmp_path / "base"
    code = EXPORTER.format(tests=str(ROOT / "tests"), root=str(ROOT))
    seen, stop = {}, threading.Event()

    def watch():
        while not stop.is_set():
            for number in versions(base):
                found = sizes(base / str(number))  # raises where a file is missing
                assert seen.setdefault(number, found) == found
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    exporter = subprocess.Popen([sys.executable, "-c", code, str(base)], stderr=subprocess.DEVNULL)
    failures = []
    threading.excepthook, hook = lambda args: failures.append(args.exc_value), threading.excepthook
    try:
        watcher.start()
        while len(versions(base)) < 2:
            assert exporter.poll() is None
            time.sleep(0.01)
        time.sleep(random.uniform(0.0, 1.5))
    finally:
        exporter.send_signal(signal.SIGKILL)
        exporter.wait()
        stop.set()
        watcher.join()
        threading.excepthook = hook
    assert not failures
    assert len(versions(base)) >= 2
    first = seen[1]
    for number in versions(base):
        for size, expected in zip(sizes(base / str(number)), first):
            assert abs(size - expected) <= 256  # names in the graph count on
    # The next export is not hindered by what was left.
    assert write(base).name == str(versions(base)[-1])
