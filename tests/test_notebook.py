"""The notebook: every cell runs, and what it shows is checked from outside."""

import base64
import importlib.util
import io
import json
import pathlib
import re
import sys

import nbclient
import nbformat
import numpy as np
import PIL.Image
import pytest

import tfgpr

NOTEBOOK = pathlib.Path(__file__).parent.parent / "scripts" / "tfgpr_quickstart.ipynb"
ITERATIONS = 6
PARAMETERS = f'iterations = {ITERATIONS}\ntraining_epochs = 2\nfolder = "out"\n'
# Run after the last cell: the notebook's own variables, for this process to look at.
KEEP = """
np.savez(
    "kept.npz",
    face=face, known=known, hole=hole, filled=filled.images, generated=filled.generated,
    trace=filled.trace, loss=filled.loss, served=served, in_process=in_process,
    first=seen[0].generated, last_result=result.images,
    moved=[np.abs(a - b).max() for a, b in zip(
        gan.generator.get_weights(), untrained_weights)],
    drawn=trained.sample(4), again=again.sample(4),
)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`(cells, arrays, folder)` of a run of the whole notebook in a kernel of its own."""
    folder = tmp_path_factory.mktemp("notebook")
    kernel = folder / "kernels" / "this_python"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": argv, "display_name": "this Python", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(specification))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = PARAMETERS
        if "gan.compile()" in cell.source:
            remember = "untrained_weights = gan.generator.get_weights()\n"
            cell.source = cell.source.replace("gan.compile()", remember + "gan.compile()", 1)
    notebook.cells.append(nbformat.v4.new_code_cell(KEEP))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder))
        client = nbclient.NotebookClient(
            notebook,
            timeout=600,
            kernel_name="this_python",
            resources={"metadata": {"path": str(folder)}},
        )
        client.execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return cells, np.load(folder / "kept.npz"), folder


def printed(cells, word):
    """What the one cell with `word` in its source printed."""
    (cell,) = (cell for cell in cells if word in cell.source)
    return "".join(out.text for out in cell.outputs if out.get("name") == "stdout")


def shown(cells, mime):
    """Every picture of a type, decoded, in order."""
    data = [out.data for cell in cells for out in cell.outputs if "data" in out]
    return [PIL.Image.open(io.BytesIO(base64.b64decode(d[mime]))) for d in data if mime in d]


def psnr(a, b, where=1.0):
    where = np.broadcast_to(where, a.shape)
    return -10 * np.log10((where * (a - b) ** 2).sum() / where.sum())


def test_every_cell_ran_and_nothing_was_installed(run):
    cells, _, _ = run
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert printed(cells, "%pip") == ""
    noise = [out.text for cell in cells for out in cell.outputs if "WARNING" in out.get("text", "")]
    assert noise == []
    assert f"tfgpr {tfgpr.__version__}" in printed(cells, "load_prior()\nprint")
    assert len(shown(cells, "image/png")) == 1 + len(tfgpr.tasks.TASKS) + 3


def test_the_five_tasks_print_their_psnr(run):
    cells, kept, _ = run
    lines = printed(cells, "tasks.TASKS").split()
    scores = dict(zip((name.rstrip(":") for name in lines[::3]), map(float, lines[1::3])))
    assert list(scores) == list(tfgpr.tasks.TASKS)
    assert scores["dequantization"] == pytest.approx(
        psnr(kept["last_result"], kept["face"]), abs=0.01
    )
    assert min(scores.values()) > 14  # of a prior's random draw: 10


def test_the_painted_hole_is_filled_and_the_rest_is_kept(run):
    cells, kept, _ = run
    known = kept["known"]
    assert set(np.unique(known)) == {0, 1}
    assert known[0, 30, 30, 0] == 0, "on a stroke"
    assert known[0, 5, 5, 0] == 1
    np.testing.assert_array_equal(known * kept["filled"], known * kept["face"])
    score = float(re.search(r"hole: ([\d.]+) dB", printed(cells, "write_gif"))[1])
    assert score == pytest.approx(psnr(kept["filled"], kept["face"], 1 - known), abs=0.01)


def test_the_search_is_an_animation_of_falling_loss(run):
    cells, kept, folder = run
    trace = kept["trace"][:, 0]
    assert len(trace) == ITERATIONS + 1
    assert kept["loss"][0] == trace.min() < trace[0]
    (movie,) = shown(cells, "image/gif")
    assert movie.n_frames == ITERATIONS + 1
    assert (folder / "out" / "search.gif").exists()
    for index, drawn in ((0, kept["first"]), (ITERATIONS, kept["generated"])):
        movie.seek(index)
        frame = np.asarray(movie.convert("RGB"), np.float32) / 255
        tile = frame[18 : 18 + 128, 132 : 132 + 128]  # the second column: G(z), twice as large
        assert np.abs(tile - drawn[0].repeat(2, 0).repeat(2, 1)).mean() < 0.03  # 256 colors


def test_training_moves_the_generator_and_the_prior_reads_back(run):
    cells, kept, _ = run
    assert printed(cells, "gan.fit").startswith(f"{2 * 128 // 32} steps")
    assert (kept["moved"] > 0).all()
    np.testing.assert_allclose(kept["again"], kept["drawn"], atol=0.05)  # float16, bfloat16


def test_the_export_answers_as_the_process_does(run):
    cells, kept, folder = run
    np.testing.assert_allclose(kept["served"], kept["in_process"], atol=0.02)
    assert (folder / "out" / "export" / "1" / "saved_model.pb").exists()
    stated = float(printed(cells, "export_savedmodel").split()[-1])
    assert stated == pytest.approx(np.abs(kept["served"] - kept["in_process"]).max(), abs=1e-5)


@pytest.mark.parametrize("installed", [True, False])
def test_the_install_cell_installs_where_tfgpr_is_absent(installed, monkeypatch):
    (cell,) = (c for c in nbformat.read(NOTEBOOK, as_version=4).cells if "%pip" in c.source)
    commands = []
    source = re.sub(r"%pip (.*)", r"commands.append(f'\1')", cell.source)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
    exec(source, {"commands": commands})
    assert commands == ([] if installed else ['install --quiet ".."'])


def test_no_outputs_are_kept_in_the_repository():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_the_notebook_needs_no_extra():
    """Of what it imports, everything comes with the package itself or with Jupyter."""
    source = "\n".join(c.source for c in nbformat.read(NOTEBOOK, 4).cells if c.cell_type == "code")
    imported = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    assert imported <= {"importlib", "pathlib", "numpy", "PIL", "tensorflow", "tfgpr", "IPython"}
