"""HTML pages that need no other file: text, tables, pictures, histograms."""

import base64
import html
import io
import re

import numpy as np
import PIL.Image

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a}
body{max-width:1320px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.1rem;margin:2rem 0 0}p{margin:.4rem 0;max-width:60rem}
table{border-collapse:collapse;margin:.6rem 0;font-size:.85rem;font-variant-numeric:tabular-nums}
td,th{border-bottom:1px solid #ddd;padding:.3rem .7rem;text-align:right;white-space:nowrap}
th[scope=row],tr>:first-child{text-align:left;font-weight:normal}
thead th{border-bottom:2px solid #888;font-weight:600!important}
.notes td:last-child,.notes th:last-child{text-align:left;white-space:normal}
.muted{color:#666;background:#f6f6f6}small{color:#777}.scroll{overflow-x:auto}
.beside{display:flex;flex-wrap:wrap;gap:0 4rem}.beside p{max-width:36rem}
figure{margin:1.5rem 0}figcaption{font-size:.9rem;color:#444}
img{display:block;max-width:100%;image-rendering:pixelated}
svg{display:block;max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif}"""
_COLORS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8a6d3b")


def page(heading, parts):
    """A whole page.

    Args:
      heading: its title, plain text.
      parts: HTML, in order.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(heading)}</title><style>{_STYLE}</style></head>\n<body>"
        + "\n".join([f"<h1>{html.escape(heading)}</h1>", *parts])
        + "</body></html>\n"
    )


def section(title, *parts):
    """A heading and what follows it."""
    return "\n".join([f"<section><h2>{html.escape(title)}</h2>", *parts, "</section>"])


def beside(sections):
    """Sections side by side where the window is wide enough."""
    return f'<div class="beside">{"".join(sections)}</div>'


def paragraph(text, small=False):
    """Text with the little Markdown of `inline`."""
    return f"<p><small>{inline(text)}</small></p>" if small else f"<p>{inline(text)}</p>"


def table(rows, notes=False, muted=None):
    """A table; the first row is its head. Cells may use the Markdown of `inline`.

    Args:
      rows: lists of text.
      notes: the last column is sentences, not numbers.
      muted: rows whose first cell begins with this are set back.
    """
    head = "".join(f'<th scope="col">{inline(cell)}</th>' for cell in rows[0])
    lines = []
    for first, *cells in rows[1:]:
        kind = ' class="muted"' if muted and first.startswith(muted) else ""
        row = "".join(f"<td>{inline(cell)}</td>" for cell in cells)
        lines.append(f'<tr{kind}><th scope="row">{inline(first)}</th>{row}</tr>')
    kind = "scroll notes" if notes else "scroll"
    return (
        f'<div class="{kind}"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody>'
        "</table></div>"
    )


def picture(image, alt, caption=None):
    """A picture inside the page.

    Args:
      image: uint8 `[height, width, 3]`.
      alt: what it shows, in words.
      caption: a line below it.
    """
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    drawn = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
    if caption is None:
        return drawn
    return f"<figure>{drawn}<figcaption>{html.escape(caption)}</figcaption></figure>"


def histogram(series, unit, bins=24, width=760, height=220):
    """Shares of several sets of numbers over the same bins, as an SVG of outlines.

    Args:
      series: dict from label to numbers, at most four; all finite.
      unit: what the horizontal axis counts.
      bins, width, height: of the drawing, the latter two in pixels.
    """
    values = {label: np.asarray(numbers, np.float64) for label, numbers in series.items()}
    low = min(numbers.min() for numbers in values.values())
    high = max(numbers.max() for numbers in values.values())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    shares = {label: np.histogram(v, edges)[0] / v.size for label, v in values.items()}
    top, base, left, right = max(s.max() for s in shares.values()), height - 36, 8, width - 8
    x = np.repeat(left + (right - left) * np.arange(bins + 1) / bins, 2)
    drawn = []
    for index, (label, share) in enumerate(shares.items()):
        y = base - (base - 12) * np.concatenate([[0], np.repeat(share, 2), [0]]) / top
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y))
        color = _COLORS[index]
        drawn.append(
            f'<polygon points="{points}" fill="{color}" fill-opacity=".12" stroke="{color}" '
            f'stroke-width="1.5"/><text x="{left + 4}" y="{14 + 15 * index}" fill="{color}">'
            f"{html.escape(label)}: median {np.median(values[label]):.3g}</text>"
        )
    ticks = [
        f'<text x="{left + (right - left) * i / 4:.0f}" y="{base + 16}" '
        f'text-anchor="{("start", "middle", "middle", "middle", "end")[i]}">'
        f"{edges[0] + (edges[-1] - edges[0]) * i / 4:.3g}</text>"
        for i in range(5)
    ]
    return (
        f'<svg role="img" viewBox="0 0 {width} {height}" width="{width}">'
        f'<line x1="{left}" x2="{right}" y1="{base}" y2="{base}" stroke="#555"/>'
        + "".join([*drawn, *ticks])
        + f'<text x="{width / 2:.0f}" y="{height - 4}" text-anchor="middle">{html.escape(unit)}'
        "</text></svg>"
    )


def inline(text):
    """Escaped text with **bold** and `code`; spreads, (0.123), are set small."""
    text = re.sub(r"\(([0-9.]+)\)", r"<small>(\1)</small>", html.escape(text))
    for mark, tag in (("**", "b"), ("`", "code")):
        pieces = text.split(mark)
        text = pieces[0] + "".join(
            f"<{tag}>{piece}" if index % 2 == 0 else f"</{tag}>{piece}"
            for index, piece in enumerate(pieces[1:])
        )
    return text
