"""What judges a prior: how well it draws faces that it has never seen, and what it draws.

`judge` is everything, for `scripts/judge_prior.py`; `QuickJudge` is the cheap part, for
training; `invert` is the measure that counts most. The report is `tfgpr.judge_report`.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tfgpr import consistency, initialization, optimizers, perceptual, realism, two_sample
from tfgpr.corruptions import Corruption
from tfgpr.errors import InputError
from tfgpr.images import as_images
from tfgpr.method import Method
from tfgpr.metrics import psnr
from tfgpr.operators import Identity
from tfgpr.restoration import Restorer
from tfgpr.tasks import Task

INVERSION = Method(
    optimizer=optimizers.Adam(0.1, beta_2=0.9, decay_steps=200),
    iterations=200,
    initialization=initialization.Screened(256),
    weight=0.0,
    p=2,
)
_COLUMNS = 8  # samples and interpolations in a row of a picture


class Inverter:
    """G(z*) of clean images: Adam on ||x - G(z)||_2^2 from the best of 256 draws.

    Args:
      prior: a `GanPrior`; its weights may change between calls.
      iterations: steps of Adam.
      seed: of the draws.
    """

    def __init__(self, prior, iterations=INVERSION.iterations, seed=0):
        operator = Identity()
        method = INVERSION.with_iterations(iterations)
        corruption = Corruption(operator)
        task = Task("inversion", operator, corruption, consistency.keep, method, method)
        self.prior = prior
        self.iterations = iterations
        self.restorer = Restorer(prior, task, seed=seed)

    def __call__(self, images, batch_size=64, progress=None):
        """Draws images `[count, size, size, 3]` in [0, 1] as well as the prior can.

        Args:
          images: the images.
          batch_size: how many are searched at a time.
          progress: called with the number of images that are done.
        Returns:
          `(generated, psnr)`: the drawn images, and their PSNR in dB, `[count]`.
        """
        generated = []
        for first in range(0, len(images), batch_size):
            chunk = images[first : first + batch_size]
            generated.append(self.restorer.restore(chunk).generated)
            if progress is not None:
                progress(first + len(chunk))
        generated = np.concatenate(generated)
        return generated, psnr(generated, images).numpy()


def invert(prior, images, seed=0, batch_size=64):
    """`Inverter(prior, seed=seed)(images, batch_size)`, 200 steps, with a progress bar."""
    bar = keras.utils.Progbar(len(images), unit_name="image")
    return Inverter(prior, seed=seed)(images, batch_size, bar.update)


def mean_image_psnr(training, images):
    """Median PSNR in dB of the mean training image in the place of each image."""
    return float(np.median(psnr(as_mean(training)[None], images)))


def as_mean(images):
    """The mean image, float32 in [0, 1], of uint8 images or of such in [0, 1]."""
    scale = 255 if images.dtype == np.uint8 else 1
    return np.float32(images.mean(axis=0, dtype=np.float64) / scale)


class QuickJudge:
    """Judges a prior in training, within half a minute; see `tfgpr.health` for the names.

    Args:
      held_out: real images that are not trained on, `[count, size, size, 3]`, uint8 or in
        [0, 1]; 16 or more are wanted for the distances.
      training: as many training images.
      iterations: steps of the inversion. Fewer than the 200 of `judge` put priors in another
        order: 50 steps after 18,600, 22,200 and 27,261 of training gave 23.6, 23.6 and 23.3 dB,
        200 gave 26.6, 27.0 and 27.2.
      inversions: of how many held-out images.

    Attributes:
      floor: the same measures of the training images: real against real.
    """

    def __init__(self, held_out, training, iterations=INVERSION.iterations, inversions=32):
        self.held_out = as_images(held_out)
        count = len(self.held_out)
        training = as_images(training[:count])
        if len(training) < count or count < 2:
            raise InputError(
                "Expected at least two held-out images, and as many training images. Received: "
                f"{count} and {len(training)}."
            )
        self.iterations = iterations
        self.inversions = inversions
        self.distance = realism.SlicedWasserstein(self.held_out)
        self.mean_psnr = mean_image_psnr(training, self.held_out[:inversions])
        self.floor = {
            "sliced_wasserstein": self.distance(training),
            "ms_ssim": realism.ms_ssim_diversity(self.held_out),
        }
        self._inverter = None

    def __call__(self, prior):
        """The record of a prior (see `tfgpr.health`) and its sliced Wasserstein distance."""
        if self._inverter is None or self._inverter.prior is not prior:
            self._inverter = Inverter(prior, self.iterations)
        images = self.held_out[: self.inversions]
        samples = draw(prior, len(self.held_out))
        return {
            "inversion_psnr": _rounded(np.median(self._inverter(images)[1])),
            "inversion_steps": self.iterations,
            "mean_image_psnr": _rounded(self.mean_psnr),
            "ms_ssim": _rounded(realism.ms_ssim_diversity(samples)),
            "ms_ssim_real": _rounded(self.floor["ms_ssim"]),
            "images": len(images),
            "samples": len(samples),
            "sliced_wasserstein": _rounded(self.distance(samples)),
            "sliced_wasserstein_real": _rounded(self.floor["sliced_wasserstein"]),
        }


@dataclasses.dataclass
class Judgement:
    """All that was found about a prior.

    Attributes:
      numbers: JSON values, by name; a measure that could not be taken is absent.
      series: dict from the name of a histogram to `{label: numbers}`.
      pictures: dict of uint8 pictures, or of batches in [0, 1].
      notes: what could not be measured, and how it can.
    """

    numbers: dict
    series: dict
    pictures: dict
    notes: list

    def health(self):
        """The record for `tfgpr.health`."""
        names = ("inversion_psnr", "inversion_steps", "mean_image_psnr", "ms_ssim")
        names += ("ms_ssim_real", "images", "samples")
        return {name: self.numbers[name] for name in names}


def judge(prior, held_out, training, inversions=64, say=print):
    """Judges a prior by everything that tfgpr can measure.

    Args:
      prior: a `GanPrior`.
      held_out: real images that it was not trained on, uint8 or in [0, 1]; hundreds make
        the distances sharp.
      training: uint8 images that it was trained on, at least as many.
      inversions: how many held-out images are searched for (the slow part).
      say: called with lines of progress.
    Returns:
      A `Judgement`.
    Raises:
      InputError: too few images.
    """
    held_out = as_images(held_out)
    count = len(held_out)
    if count < 4 or len(training) < count:
        raise InputError(
            "Expected at least 4 held-out images and as many training images. Received: "
            f"{count} and {len(training)}; change --num_images, --first or --num_train."
        )
    seen = as_images(training[np.linspace(0, len(training) - 1, count).astype(int)])
    samples = draw(prior, count)
    found = Judgement({"samples": count, "training_images": len(training)}, {}, {}, [])
    say("inverting held-out images ...")
    _judge_inversion(found, prior, held_out[:inversions], training)
    say("comparing samples with real images ...")
    _judge_sets(found, samples, held_out, seen)
    _judge_discriminator(found, prior, samples, held_out, seen)
    _judge_copies(found, samples, held_out, training)
    _judge_embeddings(found, samples, held_out, seen, say)
    found.pictures["samples"] = samples[:64] if count >= 64 else draw(prior, 64)
    found.pictures["interpolations"] = interpolations(prior)
    return found


def draw(prior, count, seed=0, batch_size=256):
    """`count` samples as a NumPy array, a batch at a time: the first ones of that seed."""
    z = prior.latent.sample(count, (seed, 0))
    parts = [prior.generate(z[at : at + batch_size]) for at in range(0, count, batch_size)]
    return np.clip(np.concatenate(parts), 0, 1)


def interpolations(prior, rows=_COLUMNS, columns=_COLUMNS, seed=1):
    """Images along straight lines between draws of z (along arcs where z is Gaussian)."""
    begin, end = (prior.latent.sample(rows, (seed, side))[:, None] for side in (0, 1))
    share = tf.linspace(0.0, 1.0, columns)[None, :, None]
    if prior.latent.name == "gaussian":  # the variance stays that of the law
        begin, end = tf.cos(share * np.pi / 2) * begin, tf.sin(share * np.pi / 2) * end
    else:
        begin, end = (1 - share) * begin, share * end
    return prior.generate(tf.reshape(begin + end, [rows * columns, -1])).numpy()


def _rounded(value):
    return round(float(value), 4)


def _judge_inversion(found, prior, images, training):
    generated, drawn = invert(prior, images)
    mean = psnr(as_mean(training)[None], images).numpy()
    found.series["inversion"] = {"G(z*)": drawn, "mean training image": mean}
    low, middle, high = np.percentile(drawn, [10, 50, 90])
    found.numbers.update(
        images=len(images),
        inversion_steps=INVERSION.iterations,
        inversion_psnr=_rounded(middle),
        inversion_psnr_10_percent=_rounded(low),
        inversion_psnr_90_percent=_rounded(high),
        inversion_psnr_each=[_rounded(value) for value in drawn],
        mean_image_psnr=_rounded(np.median(mean)),
    )
    columns = {"held out": images, "G(z*)": generated}
    try:
        from tfgpr.baselines import PCA

        pca = PCA(prior.image_size, components=prior.latent.dim).fit(training)
        represented = np.clip(pca.represent(images), 0, 1)
        linear = psnr(represented, images).numpy()
        columns[f"PCA, {len(pca.basis)}"] = represented
        found.series["inversion"][f"PCA, {len(pca.basis)} components"] = linear
        found.numbers.update(pca_psnr=_rounded(np.median(linear)), pca_components=len(pca.basis))
    except InputError as error:
        found.notes.append(f"No PCA beside the inversion: {error}")
    order = np.argsort(drawn)  # from the worst to the best, evenly: typical, not picked
    shown = order[np.linspace(0, len(order) - 1, min(12, len(order))).astype(int)]
    found.pictures["inversions"] = {label: batch[shown] for label, batch in columns.items()}


def _judge_sets(found, samples, held_out, seen):
    distance = realism.SlicedWasserstein(held_out)
    found.numbers.update(
        sliced_wasserstein=_rounded(distance(samples)),
        sliced_wasserstein_real=_rounded(distance(seen)),
        ms_ssim=_rounded(realism.ms_ssim_diversity(samples)),
        ms_ssim_real=_rounded(realism.ms_ssim_diversity(held_out)),
    )


def _judge_discriminator(found, prior, samples, held_out, seen):
    def logits(images):
        parts = [prior.logits(images[at : at + 64]) for at in range(0, len(images), 64)]
        return np.concatenate(parts)

    sets = {"training": seen, "held out": held_out, "generated": samples}
    sets = {label: logits(images) for label, images in sets.items()}
    found.series["logits"] = sets
    found.numbers.update(
        auc_training_held_out=_rounded(two_sample.auc(sets["training"], sets["held out"])),
        auc_held_out_generated=_rounded(two_sample.auc(sets["held out"], sets["generated"])),
        auc_standard_error=_rounded(np.sqrt((2 * len(seen) + 1) / 12) / len(seen)),
    )


def _judge_copies(found, samples, held_out, training):
    distances, indices = two_sample.nearest(samples, training)
    floor, _ = two_sample.nearest(held_out, training, 1)
    limit = np.percentile(floor, 1)
    found.series["nearest"] = {"samples": distances[:, 0], "held out": floor[:, 0]}
    found.numbers.update(
        nearest_training_distance=_rounded(np.median(distances[:, 0])),
        nearest_training_distance_real=_rounded(np.median(floor)),
        nearest_below_1_percent_of_real=_rounded((distances[:, 0] < limit).mean()),
    )
    # The nearest pairs of all: if anything is copied, it is shown.
    shown = np.argsort(distances[:, 0])[:_COLUMNS]
    columns = {"sample": samples[shown]}
    for rank in range(min(3, indices.shape[1])):
        columns[f"training {rank + 1}"] = as_images(training[indices[shown, rank]])
    found.pictures["nearest"] = columns
    found.numbers["nearest_distances_shown"] = [_rounded(d) for d in distances[shown, 0]]


def _judge_embeddings(found, samples, held_out, seen, say):
    if not perceptual.available():
        found.notes.append(
            "No precision, recall and KID: pip install 'tfgpr[perceptual]' brings FaceNet."
        )
        return
    say(f"embedding {3 * len(samples)} images by FaceNet ...")
    net = perceptual.FaceNet()
    generated, real, other = (net.embed(images) for images in (samples, held_out, seen))
    scale = np.sqrt(real.shape[1])  # FaceNet's are unit vectors: x.y / dim becomes the cosine
    for name, embedded in (("", generated), ("_real", other)):
        precision, recall = two_sample.precision_recall(embedded, real)
        found.numbers.update(
            {
                f"precision{name}": _rounded(precision),
                f"recall{name}": _rounded(recall),
                f"kid{name}": _rounded(
                    1000 * two_sample.kernel_distance(*(scale * e for e in (embedded, real)))
                ),
            }
        )
