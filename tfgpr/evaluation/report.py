"""What people read: table.md, figure.png and report.html."""

import base64
import html
import pathlib
import re

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

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
    page = _page(heading, protocol.note, tables, path / "figure.png" if floor else None, settings)
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


_STYLE = """body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a}
body{max-width:1320px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.1rem;margin:2rem 0 0}p{margin:.4rem 0;max-width:60rem}
table{border-collapse:collapse;margin:.6rem 0;font-size:.85rem;font-variant-numeric:tabular-nums}
td,th{border-bottom:1px solid #ddd;padding:.3rem .7rem;text-align:right;white-space:nowrap}
th[scope=row],tr>:first-child{text-align:left;font-weight:normal}
thead th{border-bottom:2px solid #888;font-weight:600!important}
.paper{color:#666;background:#f6f6f6}small{color:#777}
.scroll{overflow-x:auto}.more{display:flex;flex-wrap:wrap;gap:0 4rem}.more p{max-width:36rem}
figure{margin:1.5rem 0}figcaption{font-size:.9rem;color:#444}img{max-width:100%}"""


def _page(heading, note, tables, figure, settings):
    """One HTML page that needs no other file."""
    parts = [f"<h1>{html.escape(heading)}</h1>", f"<p>{_inline(note)}</p>"]
    if figure is not None:
        data = base64.b64encode(figure.read_bytes()).decode()
        parts.append(
            '<figure><img alt="Original, input and each method, one row for each task" '
            f'src="data:image/png;base64,{data}"><figcaption>One image for each task, the first '
            "ones of the run. A dash: the method does not do that task, or has not been run."
            "</figcaption></figure>"
        )
    sections = [
        f"<section><h2>{html.escape(title)}</h2>{_html_table(rows)}<p>{_inline(remark)}</p></section>"
        for title, rows, remark in tables
    ]
    parts += [sections[0], f'<div class="more">{"".join(sections[1:])}</div>']
    listed = ", ".join(f"{name}: {value}" for name, value in settings.items())
    parts.append(f"<p><small>tfgpr {__version__}. {html.escape(listed)}</small></p>")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(heading)}</title><style>{_STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def _html_table(rows):
    head = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in rows[0])
    lines = []
    for first, *cells in rows[1:]:
        kind = ' class="paper"' if first.startswith(_PUBLISHED) else ""
        row = "".join(f"<td>{_inline(cell)}</td>" for cell in cells)
        lines.append(f'<tr{kind}><th scope="row">{_inline(first)}</th>{row}</tr>')
    body = "".join(lines)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def _inline(text):
    """The little Markdown of these tables: **bold** and `code`; spreads are set small."""
    text = re.sub(r"\(([0-9.]+)\)", r"<small>(\1)</small>", html.escape(text))
    for mark, tag in (("**", "b"), ("`", "code")):
        pieces = text.split(mark)
        text = pieces[0] + "".join(
            f"<{tag}>{piece}" if index % 2 == 0 else f"</{tag}>{piece}"
            for index, piece in enumerate(pieces[1:])
        )
    return text
