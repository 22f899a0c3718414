"""Fig. 2 in one dimension: why the discriminator's logit pushes G(z) toward the data.

python scripts/fig2.py --output=fig2.png

For densities p of the data and q of the generator the optimal discriminator is
D(x) = p(x) / (p(x) + q(x)) (Goodfellow et al. 2014), so its logit is log p(x) - log q(x), and
the realism term log(1 - D) - log D = log q(x) - log p(x). Its descent direction is the score
of the data minus that of the generator. Here both are mixtures of Gaussians, in closed form.
"""

import pathlib

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from absl import flags

from tfgpr import commands
from tfgpr.errors import InputError
from tfgpr.images import write_png

FLAGS = flags.FLAGS
flags.DEFINE_string("output", None, "The picture, a .png file.")
flags.DEFINE_boolean("overwrite", False, "Replace it if it is there.")
flags.mark_flags_as_required(["output"])

# Weight, mean and standard deviation of each Gaussian.
DATA = ((0.6, -1.0, 0.45), (0.4, 1.4, 0.35))
GENERATOR = ((0.55, -0.5, 0.95), (0.45, 1.0, 0.95))
LIMITS = (-4.0, 4.0)

BLACK, GRAY, BLUE, GREEN, RED = "#111111", "#999999", "#1f5fbf", "#2b8a3e", "#c92a2a"
SCALE = 2  # drawn larger, then reduced: smooth lines


def density(x, mixture):
    """Density of a mixture of Gaussians at x."""
    x = np.asarray(x, np.float64)
    return sum(
        weight * np.exp(-0.5 * ((x - mean) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        for weight, mean, width in mixture
    )


def discriminator(x):
    """The optimal D at x."""
    p, q = density(x, DATA), density(x, GENERATOR)
    return p / (p + q)


def realism(x):
    """log(1 - D(x)) - log D(x) = log q(x) - log p(x)."""
    return np.log(density(x, GENERATOR)) - np.log(density(x, DATA))


def push(x, step=1e-4):
    """The descent direction of the realism term at x."""
    return -(realism(x + step) - realism(x - step)) / (2 * step)


class Panel:
    """Axes in a part of a picture.

    Args:
      draw: a `PIL.ImageDraw.Draw`.
      top, height: of the axes in pixels, before `SCALE`.
      low, high: range of the values.
    """

    LEFT, WIDTH = 70, 690

    def __init__(self, draw, top, height, low, high):
        self.draw, self.top, self.height, self.low, self.high = draw, top, height, low, high
        self.font = PIL.ImageFont.load_default(size=15 * SCALE)

    def at(self, x, value):
        left, right = LIMITS
        return (
            SCALE * (self.LEFT + (x - left) / (right - left) * self.WIDTH),
            SCALE * (self.top + (self.high - value) / (self.high - self.low) * self.height),
        )

    def axes(self, title, ticks):
        self.draw.text(
            (SCALE * self.LEFT, SCALE * (self.top - 26)), title, fill=BLACK, font=self.font
        )
        for value in ticks:
            ends = [self.at(LIMITS[0], value), self.at(LIMITS[1], value)]
            self.draw.line(ends, fill="#e3e3e3", width=SCALE)
            place = (ends[0][0] - 8 * SCALE, ends[0][1])
            self.draw.text(place, f"{value:g}", fill=GRAY, font=self.font, anchor="rm")
        for x in range(int(LIMITS[0]), int(LIMITS[1]) + 1):
            place = self.at(x, self.low)
            self.draw.text(
                (place[0], place[1] + 4 * SCALE), str(x), fill=GRAY, font=self.font, anchor="ma"
            )

    def curve(self, values, color, label, where):
        xs = np.linspace(*LIMITS, len(values))
        points = [
            self.at(x, value) for x, value in zip(xs, values) if self.low <= value <= self.high
        ]
        self.draw.line(points, fill=color, width=3 * SCALE, joint="curve")
        self.draw.text(self.at(*where), label, fill=color, font=self.font, anchor="mm")

    def arrow(self, x, value, length):
        """A point at x, and an arrow of `length` along the x axis."""
        start, end = self.at(x, value), self.at(x + length, value)
        head, sign = 7 * SCALE, np.sign(length)
        self.draw.line([start, end], fill=RED, width=3 * SCALE)
        back = end[0] - sign * head
        self.draw.polygon([end, (back, end[1] - head / 2), (back, end[1] + head / 2)], fill=RED)
        radius = 4 * SCALE
        box = [start[0] - radius, start[1] - radius, start[0] + radius, start[1] + radius]
        self.draw.ellipse(box, fill=RED)


def draw():
    """The picture, uint8 `[height, width, 3]`."""
    image = PIL.Image.new("RGB", (800 * SCALE, 660 * SCALE), "white")
    pen = PIL.ImageDraw.Draw(image)
    x = np.linspace(*LIMITS, 1201)
    above = Panel(pen, 40, 240, 0, 1.02)
    above.axes("Densities and the optimal discriminator D = p / (p + q)", (0, 0.5, 1))
    above.curve(density(x, DATA), BLACK, "data p", (-1.0, 0.6))
    above.curve(density(x, GENERATOR), GREEN, "generator q", (0.15, 0.36))
    above.curve(discriminator(x), BLUE, "D", (-1.15, 0.78))
    below = Panel(pen, 350, 270, -1.5, 4)
    below.axes("Realism term log(1 - D) - log D, and where it pushes G(z)", (-1, 0, 1, 2, 3, 4))
    below.curve(realism(x), BLUE, "log q - log p", (-2.9, 1.2))
    for place in (-2.45, -2.05, -1.65, -0.2, 0.05, 0.5, 0.75, 2.05, 2.35, 2.65):
        length = float(np.clip(0.12 * push(place), -0.45, 0.45))
        below.arrow(place, float(realism(place)), length)
    size = (image.width // SCALE, image.height // SCALE)
    return np.asarray(image.resize(size, PIL.Image.Resampling.LANCZOS))


def main(_):
    path = pathlib.Path(FLAGS.output)
    if path.suffix != ".png":
        raise InputError(f"Expected --output to end in .png. Received: {path}.")
    if path.exists() and not FLAGS.overwrite:
        raise InputError(f"The file {path} is there already; pass --overwrite or another name.")
    write_png(path, draw())
    print(f"Wrote {path}.")


if __name__ == "__main__":
    commands.run(main)
