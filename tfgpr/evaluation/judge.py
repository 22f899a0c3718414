"""What restored images are judged by: fidelity to the originals, and realism as a set."""

import numpy as np

from tfgpr import metrics, perceptual, realism
from tfgpr.tasks import center_hole

_ROWS = 64  # images that are compared at once


class Judge:
    """Scores sets of restored images.

    Args:
      clean: the originals, `[count, size, size, 3]` in [0, 1].
      reference: as many other real images, or None: no sliced Wasserstein distance.
      protocol: a `Protocol`, which decides what PSNR is.
    """

    def __init__(self, clean, reference, protocol):
        self.clean = clean
        self.protocol = protocol
        self.distance = self.hole_distance = None
        if reference is not None:
            self.distance = realism.SlicedWasserstein(reference)
            self.hole_distance = realism.SlicedWasserstein(_hole(reference))
        self.face_net = perceptual.FaceNet() if perceptual.available() else None
        if self.face_net is None:
            print("No identity distance: pip install 'tfgpr[perceptual]' brings FaceNet.")
        else:
            self.embedded = self.face_net.embed(clean)

    def __call__(self, images, known=None):
        """Judges restored images.

        Args:
          images: `[count, size, size, 3]` in [0, 1].
          known: the mask of inpainting, or None.
        Returns:
          scores, a dict of numbers for the whole set; per_image, a dict of arrays `[count]`.
        """
        per_image = self.fidelity(images, known)
        scores = {name: float(per_image[name].mean()) for name in ("psnr", "ssim")}
        for name in ("psnr", "ssim"):
            scores[f"{name}_std"] = float(per_image[name].std())
        scores["num_images"] = len(images)
        if known is not None:
            scores["hole_psnr"] = float(per_image["hole_psnr"].mean())
        scores.update(self.realism(images, known is not None))
        if self.face_net is not None:
            scores["identity_distance"] = self.identity(images)
        return scores, per_image

    def floor(self):
        """The realism of the originals; as identity distance that between different faces."""
        scores = self.realism(self.clean, hole=True)
        if self.face_net is not None:
            scores["identity_distance"] = self.identity(np.roll(self.clean, 1, axis=0))
        return scores

    def fidelity(self, images, known):
        """PSNR, SSIM, and for inpainting the PSNR of the hole, one number per image each."""
        measures = {"psnr": self.protocol.psnr, "ssim": metrics.ssim}
        if known is not None:
            measures["hole_psnr"] = lambda x, real: self.protocol.psnr(x, real, 1 - known)
        parts = [slice(at, at + _ROWS) for at in range(0, len(images), _ROWS)]
        return {
            name: np.concatenate([measure(images[at], self.clean[at]).numpy() for at in parts])
            for name, measure in measures.items()
        }

    def realism(self, images, hole=False):
        """See `tfgpr.realism`; with `hole` the distance of the central hole alone as well."""
        scores = {}
        if self.distance is not None:
            scores["sliced_wasserstein"] = self.distance(images)
            if hole:
                scores["hole_sliced_wasserstein"] = self.hole_distance(_hole(images))
        if len(images) > 1:
            scores["ms_ssim_diversity"] = realism.ms_ssim_diversity(images)
        return scores

    def identity(self, images):
        """Mean FaceNet distance to the originals."""
        return float(perceptual.cosine_distance(self.face_net.embed(images), self.embedded).mean())


def _hole(images):
    """The part of the images that the paper's mask hides."""
    hidden = np.flatnonzero(1 - center_hole(images.shape[1])[0, images.shape[1] // 2, :, 0])
    inside = slice(hidden[0], hidden[-1] + 1)
    return images[:, inside, inside]
