"""What people read: table.md, figure.png and report.html."""

import pathlib

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from tfgpr import pages
from tfgpr.evaluation.methods import METHODS
from tfgpr.evaluation.protocols import TABLE_1
from tfgpr.files import atomic_path
from tfgpr.images import labelled_columns, write_png
from tfgpr.tasks import center_hole
from tfgpr.version import __version__

_DASH = "-"
_PUBLISHED = "Table 1 (published):"
# Name, title, digits, and which end is best; the input is shown but is no method.
_MEASURES = (
    ("hole_psnr", "PSNR of the hole, dB", 2, max),
    ("sliced_wasserstein", "Sliced Wasserstein distance to real faces", 1, min),
    ("hole_sliced_wasserstein", "Sliced Wasserstein distance of the hole alone", 1, min),
    ("identity_distance", "FaceNet distance to the original", 3, min),
    ("ms_ssim_diversity", "MS-SSIM between restored faces", 3, None),
    ("seconds_per_image", "Seconds per image", 3, None),
)


def write(path, protocol, settings, cells, floor, inputs):
    """Writes the three files into `path`.

    Args:
      path: the output folder.
      protocol: a `Protocol`.
      settings: those of the store.
      cells: `{task: {method: cell}}`.
      floor: the cell of real images, or None.
      inputs: `{task: observations of the examples}`.
    """
    path = pathlib.Path(path)
    first, count = settings["first"], settings["num_images"]
    heading = f"Restoration of {count} images (files {first + 1} to {first + count})"
    tables = [_main_table(cells), *_further_tables(cells, floor["scores"] if floor else {})]
    text = [f"# {heading}", protocol.note]
    text += [f"## {title}\n\n{_markdown(rows)}\n\n{note}".rstrip() for title, rows, note in tables]
    with atomic_path(path / "table.md") as partial:
        partial.write_text("\n\n".join(text) + "\n")
    figure = draw(cells, inputs, floor["examples"]) if floor else None
    if figure is not None:
        write_png(path / "figure.png", figure)
    page = _page(heading, protocol.note, tables, figure, settings)
    with atomic_path(path / "report.html") as partial:
        partial.write_text(page)


def _title(task):
    return task.replace("_", "-")


def _used(cells):
    return [method for method in METHODS if any(method in row for row in cells.values())]


def _main_table(cells):
    """SSIM / PSNR of each method, the best of each in bold, and the paper's rows."""
    tasks = list(cells)
    rows = [["SSIM / PSNR in dB", *map(_title, tasks)]]
    for method in _used(cells):
        rows.append([method, *(_score(cells[task], method) for task in tasks)])
    for name, scores in TABLE_1.items():
        row = [f"{_PUBLISHED} {name}"]
        for task in tasks:
            pair = scores.get(task)
            row.append(f"{pair[0]:.4f} / {pair[1]:.2f}" if pair else _DASH)
        rows.append(row)
    note = (
        "Mean (standard deviation over images). Bold: the best of this run. Table 1 (published): "
        "the paper's own rows, under protocol `published` and on the paper's faces."
    )
    return "SSIM and PSNR", rows, note


def _score(row, method):
    if method not in row:
        return _DASH
    parts = []
    for name, digits in (("ssim", 4), ("psnr", 2)):
        scores = row[method]["scores"]
        spread = f" ({scores[name + '_std']:.{digits - 1}f})"
        best = max(cell["scores"][name] for cell in row.values())
        parts.append(_number(scores[name], digits, scores[name] == best) + spread)
    return " / ".join(parts)


def _number(value, digits, bold=False):
    text = f"{value:.{digits}f}"
    return f"**{text}**" if bold else text


def _further_tables(cells, floor):
    for name, title, digits, best in _MEASURES:
        having = {
            task: {m: c["scores"][name] for m, c in row.items() if name in c["scores"]}
            for task, row in cells.items()
        }
        having = {task: row for task, row in having.items() if row}
        if not having:
            continue
        rows = [["method", *map(_title, having)]]
        for method in _used(having):
            row = [method]
            for values in having.values():
                value = values.get(method)
                chosen = best is not None and value == best(values.values())
                row.append(_DASH if value is None else _number(value, digits, chosen))
            rows.append(row)
        yield title, rows, _NOTES.get(name, "").format(floor=_floor(floor.get(name), digits))


_NOTES = {
    "sliced_wasserstein": "In thousandths, to other real faces, as many as are restored; it "
    "depends on their number. Floor, the untouched originals: {floor}.",
    "hole_sliced_wasserstein": "Floor, the untouched originals: {floor}.",
    "ms_ssim_diversity": "The higher, the less varied. The untouched originals: {floor}.",
    "identity_distance": "1 - cosine of the embeddings. Between different people: {floor}.",
    "seconds_per_image": "On the machine of this run, beside whatever else ran on it; compiling "
    "and learning not counted.",
}


def _floor(value, digits):
    return _DASH if value is None else _number(value, digits)


def _markdown(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def draw(cells, inputs, real, scale=2):
    """Fig. 3: one row for each task, one column each for the original, y and each method.

    Args:
      cells: `{task: {method: cell}}`, with the examples of each.
      inputs: `{task: observations of the examples}`.
      real: the originals, uint8 `[examples, size, size, 3]`.
      scale: how much larger than the images the picture is.
    Returns:
      uint8 `[height, width, 3]`.
    """
    tasks, size = list(cells), real.shape[1]
    chosen = [row % len(real) for row in range(len(tasks))]  # another face in each row
    columns = {
        "real": [real[index] for index in chosen],
        "input": [_input(task, inputs[task][i], size) for task, i in zip(tasks, chosen)],
    }
    blank = _blank(size)
    for method in _used(cells):
        if method != "observed":
            columns[method] = [
                cells[task][method]["examples"][index] if method in cells[task] else blank
                for task, index in zip(tasks, chosen)
            ]
    stacks = {label: np.stack(tiles).astype(np.float32) / 255 for label, tiles in columns.items()}
    body = labelled_columns(stacks, scale)
    margin = PIL.Image.new("RGB", (120, body.shape[0]), "white")
    pen, font = PIL.ImageDraw.Draw(margin), PIL.ImageFont.load_default(size=13)
    step = scale * size + 2
    for row, task in enumerate(tasks):
        middle = body.shape[0] - (len(tasks) - row) * step + step // 2
        pen.text((6, middle), _title(task), fill="black", font=font, anchor="lm")
    return np.concatenate([np.asarray(margin), body], axis=1)


def _blank(size):
    """A tile for what a method does not do: gray with a dash."""
    tile = np.full([size, size, 3], 240, np.uint8)
    middle, half = size // 2, size // 16
    tile[middle - 1 : middle + 1, middle - half : middle + half] = 160
    return tile


def _input(task, observed, size):
    """An observation as a uint8 RGB tile: enlarged pixel by pixel, its hole in white."""
    tile = np.clip(observed, 0, 1)
    factor = size // tile.shape[0]
    tile = np.broadcast_to(tile, (*tile.shape[:2], 3)).repeat(factor, axis=0).repeat(factor, axis=1)
    if task == "inpainting":
        tile = np.where(center_hole(size)[0] > 0.5, tile, 1.0)
    return np.round(255 * tile).astype(np.uint8)


def _page(heading, note, tables, figure, settings):
    """One HTML page that needs no other file."""
    parts = [pages.paragraph(note)]
    if figure is not None:
        alt = "Original, input and each method, one row for each task"
        caption = (
            "One image for each task, the first ones of the run. A dash: the method does not do "
            "that task, or has not been run."
        )
        parts.append(pages.picture(figure, alt, caption))
    first, *more = (
        pages.section(title, pages.table(rows, muted=_PUBLISHED), pages.paragraph(remark))
        for title, rows, remark in tables
    )
    listed = ", ".join(f"{name}: {value}" for name, value in settings.items())
    parts += [first, pages.beside(more), pages.paragraph(f"tfgpr {__version__}. {listed}", True)]
    return pages.page(heading, parts)
