"""Images: value ranges, files, the face crop, and pictures made of many images.

Everywhere in tfgpr a batch of images is float32 `[batch, height, width, channels]` with
values in [0, 1]. Functions that read or crop single files give uint8 `[height, width, 3]`.
"""

import pathlib
import struct

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import PIL.ImageOps

from tfgpr.errors import InputError
from tfgpr.files import atomic_path

# The usual crop of aligned CelebA: the central 108 of 178 pixels of width.
FACE_CROP = 108 / 178
ROUNDING = 1e-5  # by which values may exceed their range: operators of float32 do
ASSETS = pathlib.Path(__file__).parent / "assets"
# What Pillow raises for files that are broken in one way or another.
_UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, PIL.Image.DecompressionBombError)
EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def as_images(array, name="images", low=0.0, high=1.0):
    """Checks a batch of images and returns it as float32 in [0, 1].

    Args:
      array: uint8 in 0..255 (scaled here) or floating point in [0, 1];
        `[batch, height, width, channels]`, or one image without the batch axis.
      name: what the error message calls it.
      low, high: the range to insist on; wider than [0, 1] for noisy observations.
    Returns:
      A float32 NumPy array `[batch, height, width, channels]`.
    Raises:
      InputError: another shape or type, NaN or infinite values, values outside the range.
    """
    array = np.asarray(array)
    shape = array.shape
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or 0 in array.shape:
        raise InputError(
            f"Expected {name} of shape [batch, height, width, channels]. Received: shape {shape}."
        )
    return as_values(array, name, low, high)


def as_measurements(
    array, shape, low=0.0, high=1.0, name="observations", remedy="divide by 255, or clip them"
):
    """What `as_images` does, for measurements of any shape.

    Args:
      array: as there; `[batch, *shape]`, or one measurement without the batch axis.
      shape: of one measurement.
      low, high, name: as there.
      remedy: for values outside the range, in the error message.
    Returns:
      A float32 NumPy array `[batch, *shape]`.
    Raises:
      InputError: as there.
    """
    array = np.asarray(array)
    shape = tuple(shape)
    batched = array[None] if array.ndim == len(shape) else array
    if batched.shape[1:] != shape or not batched.size:
        raise InputError(
            f"Expected {name} of shape [batch, {'x'.join(map(str, shape))}]. Received: shape "
            f"{array.shape}; crop or resize them."
        )
    return as_values(batched, name, low, high, remedy)


def as_values(array, name, low=0.0, high=1.0, remedy="divide by 255, or clip them"):
    """What `as_images` checks and converts, for a NumPy array of any shape."""
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(
            f"Expected {name} as uint8 in 0..255 or floating point in [0, 1]. "
            f"Received: {array.dtype}; convert it to one of these."
        )
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"Expected finite {name}. Received: NaN or infinite values.")
    if array.min() < low - ROUNDING or array.max() > high + ROUNDING:
        raise InputError(
            f"Expected {name} in [{low:g}, {high:g}]. Received: values from {array.min():g} to "
            f"{array.max():g}; {remedy}."
        )
    return np.clip(array, low, high)


def to_uint8(images):
    """Rounds images in [0, 1] (clipped) to uint8 in 0..255."""
    return np.round(np.clip(np.asarray(images, np.float32), 0, 1) * 255).astype(np.uint8)


def list_files(path):
    """The image files of a folder in sorted order, or the one file that `path` names.

    Raises:
      InputError: nothing is there, the folder may not be read or holds no file with an image's
        ending.
    """
    if not str(path):
        raise InputError("Expected an image file or a folder of images. Received: an empty path.")
    path = pathlib.Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"Expected an image file or a folder of images. Received: {path}, absent.")
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise InputError(
            f"Expected a folder that can be read. Received: {path} ({error.strerror})."
        ) from error
    files = [
        file
        for file in entries
        if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".")
    ]
    if not files:
        raise InputError(
            f"Expected image files ({', '.join(EXTENSIONS)}) in {path}. Received: a folder "
            "with none; give the folder that holds the files themselves."
        )
    return files


def read_image(path, mode="RGB"):
    """Reads a whole file as uint8 `[height, width, 3]` (`mode="L"`: `[height, width]`).

    A camera's note of how it was held (EXIF orientation) is obeyed. Of 16 bits the upper 8 count.

    Raises:
      InputError: the file is absent, no image, or truncated, or holds floating point numbers.
    """
    try:
        with PIL.Image.open(path) as image:
            if image.mode == "F":
                raise ValueError("floating point numbers, whose range nobody knows")
            upright = PIL.ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):  # Pillow would cut 16 bits off at 255
                wide = np.clip(np.asarray(upright), 0, 65535)
                upright = PIL.Image.fromarray(np.round(wide / 257).astype(np.uint8))
            return np.asarray(upright.convert(mode))
    except FileNotFoundError:
        raise InputError(f"Expected an image file. Received: {path}, absent.") from None
    except _UNREADABLE as error:
        raise InputError(
            f"Expected a readable image. Received: {path} ({error or 'damaged'}); replace or "
            "remove it."
        ) from None


def example_face():
    """A face that is free to use: float32 `[1, 64, 64, 3]` in [0, 1].

    NASA's portrait of the astronaut Eileen Collins (public domain), cropped as CelebA is.
    """
    return as_images(read_image(ASSETS / "astronaut.png"))


def crop_and_resize(image, size, crop=FACE_CROP):
    """The central square of an image, antialiased bicubic to `[size, size, channels]`.

    Args:
      image: uint8 `[height, width, 3]`.
      size: side of the result in pixels.
      crop: side of the square relative to the image's *width* (108/178 for aligned CelebA of
        any scale), limited by its height; or None: the image must have `size` already.
    Raises:
      InputError: `crop` is None and the image has another size.
    """
    height, width = image.shape[:2]
    if crop is None:
        if (height, width) != (size, size):
            raise InputError(
                f"Expected an image of {size}x{size} pixels, since no crop was asked for. "
                f"Received: {width}x{height}; leave the crop on, or resize it."
            )
        return image
    side = min(crop * width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return np.asarray(
        PIL.Image.fromarray(image).resize(
            (size, size), PIL.Image.Resampling.BICUBIC, (left, top, left + side, top + side)
        )
    )


def write_png(path, image):
    """Writes one image (`[height, width]` or `[height, width, 1 or 3]`) atomically as PNG.

    Floating point values are taken as [0, 1].
    """
    image = np.asarray(image)
    image = image if image.dtype == np.uint8 else to_uint8(image)
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    with atomic_path(path) as partial:
        PIL.Image.fromarray(image).save(partial, format="PNG")


def write_gif(path, frames, seconds=0.2):
    """Writes an animation that repeats, atomically, as GIF.

    Args:
      path: the file.
      frames: uint8 `[height, width, 3]` each, all of one size.
      seconds: how long each is shown.
    """
    first, *rest = [PIL.Image.fromarray(frame) for frame in frames]
    with atomic_path(path) as partial:
        first.save(
            partial,
            format="GIF",
            save_all=True,
            append_images=rest,
            duration=round(1000 * seconds),
            loop=0,
        )


def curve(values, done=None, size=256):
    """A line through `values`, as an image for `labelled_columns`.

    Args:
      values: `[n]`; the lowest and the highest are written beside the line.
      done: index of the value to mark; what comes after it is drawn in gray. None: the last.
      size: side of the image in pixels.
    Returns:
      float32 `[1, size, size, 3]` in [0, 1].
    """
    values = np.asarray(values, np.float64)
    done = len(values) - 1 if done is None else done
    low, high = values.min(), values.max()
    across = np.linspace(0.05, 0.95, len(values)) * size
    down = (0.9 - 0.8 * (values - low) / max(high - low, 1e-12)) * size
    points = list(zip(across, down))
    picture = PIL.Image.new("RGB", (size, size), "white")
    draw = PIL.ImageDraw.Draw(picture)
    draw.line(points, fill="silver")
    draw.line(points[: done + 1], fill="black", width=2)
    x, y = points[done]
    draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill="red")
    draw.text((0.6 * size, 2), f"{high:.4g}", fill="black")
    draw.text((2, size - 14), f"{low:.4g}", fill="black")
    return as_images(np.asarray(picture))


def grid(images, columns, gap=2):
    """Tiles images in [0, 1] row by row on white: uint8 `[height, width, 3]`."""
    images = to_uint8(images)
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top = gap + (index // columns) * (height + gap)
        left = gap + (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def labelled_columns(columns, scale=2):
    """A comparison picture: one labelled column for each batch, one row for each image.

    Args:
      columns: dict from label to images `[batch, height, width, 1 or 3]` in [0, 1]; smaller
        images (a low-resolution observation) are enlarged to the largest, pixel by pixel.
      scale: how much larger than the images the picture is.
    Returns:
      uint8 `[height, width, 3]`.
    """
    side = scale * max(batch.shape[1] for batch in columns.values())
    tiles = [
        [
            np.asarray(
                PIL.Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3))).resize(
                    (side, side), PIL.Image.Resampling.NEAREST
                )
            )
            for image in to_uint8(batch)
        ]
        for batch in columns.values()
    ]
    body = grid(np.stack([tile for row in zip(*tiles) for tile in row]) / 255.0, len(columns))
    header = PIL.Image.new("RGB", (body.shape[1], 16), "white")
    draw, font = PIL.ImageDraw.Draw(header), PIL.ImageFont.load_default(size=12)
    for index, label in enumerate(columns):
        draw.text((4 + index * (side + 2), 1), label, fill="black", font=font)
    return np.concatenate([np.asarray(header), body])
