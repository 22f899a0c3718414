"""Faces anywhere in a photo: found, cut as the prior was trained, and put back.

The detector is MTCNN (Zhang, Zhang, Li, Qiao 2016, IEEE Signal Processing Letters 23(10)) as
the PyPI package `mtcnn` carries it: 1.9 MB of the authors' weights (trained on WIDER FACE and
CelebA; MIT licence, as is the package), computed in TensorFlow, offline.

Points are complex numbers x + iy in pixels, from the corner of the first pixel, so that a
similarity transform is `step * point + origin`.
"""

import dataclasses
import functools
import importlib.util
import math

import numpy as np
import PIL.Image

from tfgpr.errors import InputError

# CelebA's aligned frame, and where MTCNN sees the left eye, the right eye and the middle of
# the mouth in it: the mean of 297 training images (7,501 on). With the mouth, crops of other
# training images land 1.5 of 64 pixels from where CelebA has them; with the eyes alone, 3.0.
_FRAME = (178, 218)
_LANDMARKS = np.array([69.9 + 111.9j, 108.6 + 111.9j, 89.1 + 152.8j])

_DETECT_SIDE = 1600  # longer side, in pixels, of what the detector sees
_CONFIDENCE = 0.9


@dataclasses.dataclass(frozen=True)
class Face:
    """A face that was found in a photo.

    Attributes:
      box: `(left, top, right, bottom)` of the face in pixels, as the detector gives it.
      landmarks: left eye, right eye (as seen) and middle of the mouth, `[3]` complex.
      confidence: of the detector, up to 1.
    """

    box: tuple
    landmarks: np.ndarray
    confidence: float


def find_faces(photo):
    """The faces in a photo, the largest first.

    Upright faces and those tilted by up to about 45 degrees are found, from 20 pixels (in a
    photo of more than 1600 pixels: from an 80th of its longer side).

    Args:
      photo: uint8 `[height, width, 3]`.
    Returns:
      A list of `Face`, empty if there is none.
    Raises:
      InputError: the package `mtcnn` is absent.
    """
    height, width = photo.shape[:2]
    scale = max(1.0, max(height, width) / _DETECT_SIDE)
    image = PIL.Image.fromarray(photo)
    if scale > 1:
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        image = image.resize(size, PIL.Image.Resampling.BICUBIC)
    rows = _detector().detect_faces(
        np.asarray(image, np.float32),
        fit_to_image=False,
        box_format="xyxy",
        output_type="numpy",
        threshold_onet=_CONFIDENCE,
    )
    faces = []
    for row in rows:  # image, box, confidence, x of five landmarks, y of them
        points = scale * (row[6:11] + 0.5 + 1j * (row[11:16] + 0.5))
        box = tuple(float(scale * (edge + 0.5)) for edge in row[1:5])
        landmarks = np.array([points[0], points[1], (points[3] + points[4]) / 2])
        faces.append(Face(box, landmarks, float(row[5])))
    return sorted(faces, key=lambda face: face.box[0] - face.box[2])


@functools.lru_cache(maxsize=1)
def _detector():
    if importlib.util.find_spec("mtcnn") is None:
        raise InputError(
            "Expected the package mtcnn, which finds the faces. Received: no such package; "
            "pip install 'tfgpr[faces]'."
        )
    import mtcnn

    return mtcnn.MTCNN()


@dataclasses.dataclass(frozen=True)
class Crop:
    """A square cut from a photo: pixel (u, v) of it lies at `step * (u + iv) + origin`.

    Attributes:
      origin: complex, where the square's first corner is in the photo.
      step: complex, photo pixels to a pixel of the square, and its tilt.
      size: side of the square in its own pixels.
    """

    origin: complex
    step: complex
    size: int

    @classmethod
    def of_face(cls, face, size, crop):
        """The square of a face that the prior's training images had.

        Args:
          face: a `Face`.
          size: of the prior's images.
          crop: side of the training crop relative to the width of CelebA's aligned images
            (`GanPrior.crop`).
        Raises:
          InputError: `crop` is None.
        """
        if crop is None:
            raise InputError(
                "Expected a prior that was trained on the face crop of aligned faces. Received: "
                "one of whole images, in which nobody knows where the eyes were; cut the faces "
                "yourself."
            )
        width, height = _FRAME
        side = min(crop * width, height)
        corner = complex(width - side, height - side) / 2
        there = (_LANDMARKS - corner) * (size / side)
        # Least squares over similarity transforms: a line through complex numbers.
        centred = there - there.mean()
        step = np.vdot(centred, face.landmarks) / np.vdot(centred, centred)
        return cls(complex(face.landmarks.mean() - step * there.mean()), complex(step), size)

    @property
    def corners(self):
        """The four corners in the photo, clockwise, `[4]` complex."""
        return self.origin + self.step * self.size * np.array([0, 1, 1 + 1j, 1j])

    def window(self, shape):
        """The smallest upright rectangle around it in a photo of `shape`, as two slices."""
        x, y = self.corners.real, self.corners.imag
        return tuple(
            slice(max(0, math.floor(points.min())), min(length, math.ceil(points.max())))
            for points, length in ((y, shape[0]), (x, shape[1]))
        )

    def cut(self, photo):
        """The square's pixels, antialiased: `[size, size, channels]` float32.

        Beyond the photo's border its last pixels are repeated.

        Args:
          photo: float `[height, width, channels]`.
        """
        return resample(photo, self.origin, self.step, (self.size, self.size))

    def spread(self, values, window):
        """The square's pixels put back into the photo.

        Args:
          values: float `[size, size, channels]`.
          window: two slices, of `window`.
        Returns:
          What the photo has in the window, float32 `[height, width, channels]`; around the
          square its last pixels are repeated.
        """
        rows, columns = window
        corner = complex(columns.start, rows.start)
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        return resample(values, (corner - self.origin) / self.step, 1 / self.step, shape)

    def depth(self, window):
        """How deep in the square each pixel of the window lies.

        Returns:
          `[height, width, 1]`: distance to the nearest edge in units of the square's side;
          negative outside.
        """
        y, x = (np.arange(part.start, part.stop) + 0.5 for part in window)
        inside = (x + 1j * y[:, None] - self.origin) / (self.step * self.size)
        u, v = inside.real, inside.imag
        return np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))[..., None]


def resample(image, origin, step, shape):
    """`image` at the points `origin + step * (u + iv)` of a grid of `shape`, antialiased.

    Bicubic. Pillow's affine transform has a harsher kernel (a = -1) than its resize, so it
    only ever samples an image that resize has enlarged to the grid's fineness, or samples more
    finely than wanted for resize to reduce.
    """
    height, width = shape
    corners = origin + step * np.array([0, width, 1j * height, width + 1j * height])
    margin = 3  # the cubic kernel reads two pixels around a point
    left, top = (math.floor(part.min()) - margin for part in (corners.real, corners.imag))
    right, bottom = (math.ceil(part.max()) + margin for part in (corners.real, corners.imag))
    rows = np.clip(np.arange(top, bottom), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, right), 0, image.shape[1] - 1)
    part = np.asarray(image, np.float32)[rows[:, None], columns]
    larger = max(1, math.ceil(1 / abs(step) - 1e-6))
    finer = max(1, math.ceil(abs(step) * larger - 1e-6))
    origin, step = (origin - complex(left, top)) * larger, step * larger / finer
    affine = (step.real, -step.imag, origin.real, step.imag, step.real, origin.imag)
    bicubic = PIL.Image.Resampling.BICUBIC

    def sample(channel):
        channel = PIL.Image.fromarray(np.ascontiguousarray(channel))
        channel = channel.resize((channel.width * larger, channel.height * larger), bicubic)
        grid = (width * finer, height * finer)
        channel = channel.transform(grid, PIL.Image.Transform.AFFINE, affine, bicubic)
        return np.asarray(channel.resize((width, height), bicubic))

    return np.stack([sample(channel) for channel in np.moveaxis(part, -1, 0)], axis=-1)
