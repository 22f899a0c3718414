"""The benchmark as a table and as a plot."""

import math

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

_SCALE = 2  # drawn larger, then reduced: smooth letters
_WIDTH, _LABEL, _ROW = 900, 330, 24
_BLACK, _GRAY, _OURS, _OTHERS = "#111111", "#999999", "#1f5fbf", "#bbbbbb"


def brief(row):
    """A row's figures on one line."""
    return ", ".join(f"{name} {_figure(value)}" for name, value in _flat(row).items())


def _figure(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(value):
    """The whole benchmark as Markdown tables, one for each section."""
    lines = []
    for section, rows in _flat_sections(value).items():
        columns = list(dict.fromkeys(key for row in rows.values() for key in row))
        lines += [f"\n{section}\n", "| | " + " | ".join(columns) + " |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for name, row in rows.items():
            cells = [_figure(row[key]) if key in row else "" for key in columns]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _flat_sections(value):
    return {
        section: {name: _flat(row) for name, row in rows.items()}
        for section, rows in value["sections"].items()
    }


def _flat(row):
    flat = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat.update({f"{name}: {key}": each for key, each in value.items()})
        elif not isinstance(value, list):
            flat[name] = value
    return flat


def draw(value):
    """The plot, uint8 `[height, width, 3]`: bars on logarithmic axes, ours in blue."""
    panels = [
        (f"Seconds per image ({value['task']})", "loops", "seconds_per_image"),
        ("Times faster, as a batch, to each loop's objective", "target", "one batch: times_faster"),
        ("Milliseconds per image and iteration", "scaling", "ms_per_image_iteration"),
        ("Seconds for one image", "scaling", "seconds_per_image"),
        ("Share of the matrix product's rate", "rate", "share_of_limit"),
    ]
    sections = _flat_sections(value)
    panels = [
        (title, {name: row[key] for name, row in sections.get(section, {}).items() if key in row})
        for title, section, key in panels
    ]
    panels = [(title, bars) for title, bars in panels if bars]
    height = sum(_ROW * (len(bars) + 2) for _, bars in panels) + _ROW
    image = PIL.Image.new("RGB", (_WIDTH * _SCALE, height * _SCALE), "white")
    pen, top = PIL.ImageDraw.Draw(image), _ROW // 2
    for title, bars in panels:
        top = _draw_bars(pen, top, title, bars)
    return np.asarray(image.resize((_WIDTH, height), PIL.Image.Resampling.LANCZOS))


def _draw_bars(pen, top, title, bars):
    font = PIL.ImageFont.load_default(size=14 * _SCALE)
    pen.text((12 * _SCALE, top * _SCALE), title, fill=_BLACK, font=font)
    low = math.log10(min(bars.values())) - 0.3
    span = max(math.log10(max(bars.values())) - low, 0.5)
    for name, value in bars.items():
        top += _ROW
        middle = (top + _ROW / 2) * _SCALE
        end = _LABEL + (_WIDTH - _LABEL - 90) * (math.log10(value) - low) / span
        color = _OTHERS if name.startswith("paper") else _OURS
        place = (_LABEL - 8) * _SCALE, middle
        pen.text(place, name, fill=_BLACK, font=font, anchor="rm")
        box = [_LABEL * _SCALE, middle - 8 * _SCALE, end * _SCALE, middle + 8 * _SCALE]
        pen.rectangle(box, fill=color)
        place = (end + 6) * _SCALE, middle
        pen.text(place, f"{value:.3g}", fill=_GRAY, font=font, anchor="lm")
    return top + 2 * _ROW
