"""A GAN prior is given an encoder and a network of nu in one run, which may be killed and goes on.

A run's folder:

    encoder/                  the state of an unfinished training of the encoder
    with_encoder/             the prior with its trained encoder
    latents/                  the z* found, of each 250 images
    backup/, log.csv          the state of an unfinished training of nu
    complete/                 the prior with both
"""

import pathlib

from tfgpr import networks, precision, residual, residual_examples, residual_training
from tfgpr.data import FolderImages
from tfgpr.errors import InputError
from tfgpr.files import require_free
from tfgpr.prior import load_prior


def train(
    data_dir,
    work_dir,
    output,
    model_dir=None,
    num_images=None,
    search_every=2,
    num_held_out=250,
    encoder_epochs=30,
    start_from=None,
    epochs=50,
    steps_per_epoch=100,
    learning_rate=1e-3,
    realism=0.0,
    overwrite=False,
):
    """Trains the encoder, searches z*, and trains nu; called again, it goes on.

    Args:
      data_dir: folder of the images that the prior was trained on.
      work_dir: the run's folder.
      output: folder for the prior with both.
      model_dir: folder of the prior; None: the shipped one.
      num_images: use only so many of the files; None: all but the held-out ones.
      search_every: search z* in every so many stretches of 250 images; the others are learned
        from beside the mean drawing.
      num_held_out: so many files after those judge it, at most a tenth of all.
      encoder_epochs: of `steps_per_epoch` steps, for the encoder; 0: none is trained.
      start_from: folder of a prior whose nu is to be trained on; None: nu begins untrained.
      epochs, steps_per_epoch, realism: of `residual_training.fit`.
      learning_rate: of both trainings, as there.
      overwrite: replace the prior in `output`.
    Returns:
      The `GanPrior` that `output` holds then; its `residual.training` has the held-out PSNR.
    Raises:
      InputError: `output` is taken or cannot be written; no such prior or images;
        `start_from` has no nu of this architecture; `work_dir` was begun with another prior
        or other images; a loss is no longer finite.
    """
    require_free(output, overwrite)
    prior = load_prior(model_dir)
    files = FolderImages(data_dir, prior.image_size, prior.crop).files
    held_out = min(num_held_out, len(files) // 10)
    count = min(num_images or len(files), len(files) - held_out)
    work = pathlib.Path(work_dir)
    architecture = {"image_size": prior.image_size, "channels": list(residual.CHANNELS)}
    started = load_prior(start_from).residual if start_from else None
    if start_from and (started is None or started.architecture != architecture):
        raise InputError(
            f"Expected --start_from as a prior with a network of nu {architecture}. Received: "
            f"{started and started.architecture}."
        )

    def images(first, count):
        return FolderImages(data_dir, prior.image_size, prior.crop, first, count).load()

    parts = (0, images(0, count), search_every), (count, images(count, held_out), 1)
    prior = _with_encoder(prior, parts, work, encoder_epochs, steps_per_epoch, learning_rate)
    pair = []
    for first, each, every in parts:
        latents = residual_examples.search_latents(prior, each, work / "latents", first, every)
        pair.append(residual_examples.Examples(prior, each, latents, first))
    network = started or residual.Residual.untrained(architecture, precision.resolve())
    psnr = residual_training.fit(
        network.network, *pair, work, epochs, steps_per_epoch, learning_rate, realism
    )
    about = {"images": count, "steps": epochs * steps_per_epoch, "realism": realism}
    about |= {"held_out_images": held_out, "held_out_psnr": psnr}
    if started:
        about["started_from"] = started.training
    prior.residual = residual.Residual(network.network, network.architecture, about)
    prior.save(work / "complete", overwrite=True)  # whatever happens to the output
    prior.save(output, overwrite)
    return prior


def _with_encoder(prior, parts, work, epochs, steps_per_epoch, learning_rate):
    """The prior with its encoder: the one that `work` holds, or trained now."""
    encoded = work / "with_encoder"
    if encoded.exists():
        given, prior = prior, load_prior(encoded)
        pairs = zip(given.generator.get_weights(), prior.generator.get_weights())
        if given.architecture != prior.architecture or any((a != b).any() for a, b in pairs):
            raise InputError(
                f"Expected the generator that {work} was begun with. Received: another one; "
                "choose a new --work_dir, or give the --model_dir of then."
            )
    elif prior.image_size not in networks.IMAGE_SIZES:
        print(f"No encoder for images of {prior.image_size} pixels: searches start from a bank.")
    elif epochs:
        pair = [residual_examples.Examples(prior, each, None, first) for first, each, _ in parts]
        settings = epochs, steps_per_epoch, learning_rate
        residual_training.fit_encoder(prior, *pair, work / "encoder", *settings)
        prior.save(encoded)
    return prior
