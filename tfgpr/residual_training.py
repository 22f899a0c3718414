"""Learns what a restoration adds to a GAN: where to start, and the prior of nu.

0. `fit_encoder`: a network learns to answer an observation of any task with a z whose G(z) is
   near x (`tfgpr.initialization.Encoder`). The searches start there.
1. `tfgpr.residual_examples`: for each training image the z* that the default search finds,
   from what each kind of task observes of it. Kept in files; an interrupted search goes on.
2. `fit`: the network sees x through random observations of all tasks, beside G(z*), and
   learns the posterior mean of x.
"""

import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from tfgpr import metrics, precision
from tfgpr.errors import InputError
from tfgpr.initialization import Encoder
from tfgpr.residual_examples import NAMES, SLICE
from tfgpr.training_run import Log

_LEAST_ERROR = 1e-4  # mean squared error below which being closer is worth nothing (40 dB)

_SCALE = 10.0  # makes what the critic sees about as large as an image


def log_error(missing, correction):
    """log10 of each image's mean squared error and `_LEAST_ERROR`, `[batch]`.

    Equal ratios count alike, so the tasks that are nearly solved weigh as much as the others.
    """
    error = tf.reduce_mean(tf.square(missing - correction), axis=[1, 2, 3])
    return tf.math.log(error + _LEAST_ERROR) / tf.math.log(10.0)


class _Report(keras.callbacks.Callback):
    """The mean PSNR of each task on held-out images after each epoch."""

    def __init__(self, network, examples, batches=6):
        super().__init__()
        self.network = network
        self.held_out = [examples.batch(index) for index in range(batches)]
        self.psnr = {}

    def on_epoch_end(self, epoch, logs=None):
        psnr = [metrics.psnr(self.network(each), x) for each, x in self.held_out]
        psnr = tf.reduce_mean(tf.reshape(psnr, [-1, len(NAMES), SLICE]), axis=[0, 2])
        self.psnr = {name: round(float(value), 2) for name, value in zip(NAMES, psnr)}
        if logs is not None:
            logs.update(self.psnr)


def fit_encoder(
    prior,
    examples,
    held_out,
    folder,
    epochs=30,
    steps_per_epoch=100,
    learning_rate=1e-3,
    seed=None,
):
    """Trains a prior's `Encoder`, the one of clean images that it was trained with or a new one.

    Args:
      prior: a `GanPrior`, whose networks stay as they are; it is given the encoder.
      examples, held_out, folder, epochs, steps_per_epoch, learning_rate, seed: of `fit`;
        `Examples` without latents.
    Returns:
      dict from task to the mean PSNR in dB of G(z) on `held_out`, z being the encoder's.
    Raises:
      InputError: as `fit`; no encoder is offered for images of this size.
    """
    encoder = prior.encoder or Encoder.for_prior(prior, precision.policy_of(prior.generator))
    shape = [prior.image_size, prior.image_size, 3]
    inputs = [keras.Input(shape) for _ in range(3)]  # as `residual.network_inputs` has them
    trainable, prior.generator.trainable = prior.generator.trainable, False
    stacked = keras.layers.Concatenate(dtype="float32")([2.0 * inputs[0], inputs[1]])
    drawn = prior.generator(encoder.network(stacked), training=False)
    correction = keras.layers.Activation("linear", dtype="float32")(0.5 * drawn - inputs[0])
    network, settings = keras.Model(inputs, correction), (epochs, steps_per_epoch, learning_rate)
    try:
        psnr = fit(network, examples, held_out, folder, *settings, seed=seed)
    finally:
        prior.generator.trainable = trainable
    steps = epochs * steps_per_epoch
    encoder.training = {"images": len(examples.images), "steps": steps, "held_out_psnr": psnr}
    prior.encoder = encoder
    return psnr


class Sharpened(keras.Model):
    """The network of nu, trained beside a critic of its textures (Ledig et al. 2017).

    A posterior mean is blurred where y says nothing: with the least squared error, and unlike
    any face. The critic tells what was added to the evidence of enlarged images from what is
    missing there, in small regions (non-saturating logistic loss, R1), and the network is also
    held to its answer. (A critic of denoised and dequantized images as well made all three
    less real within 1,000 steps.)

    Args:
      network: of `tfgpr.residual.residual_network`.
      weight: of the critic's loss, relative to `log_error`.
    """

    rows = slice(2 * SLICE, 3 * SLICE)  # super-resolution's in a batch of `Examples`

    def __init__(self, network, weight):
        super().__init__()
        self.network = network
        self.weight = weight
        self.critic = patch_critic(dtype=precision.policy_of(network))
        self.critic_optimizer = keras.optimizers.Adam(5e-4, beta_1=0.5)
        self.critic_optimizer.build(self.critic.trainable_variables)
        self.trackers = [keras.metrics.Mean(name) for name in ("loss", "critic_loss")]
        self.built = True

    def compile(self, optimizer, **settings):
        super().compile(optimizer, **settings)
        # Else Keras builds it for the critic too before it restores: what was stored fits no more.
        self.optimizer.build(self.network.trainable_variables)

    @property
    def metrics(self):
        return self.trackers

    def call(self, inputs, training=False):
        return self.network(inputs, training=training)

    def train_step(self, data):
        inputs, missing = data
        evidence = 2.0 * inputs[0][self.rows]
        real = _SCALE * missing[self.rows]
        with tf.GradientTape() as tape:
            correction = self.network(inputs, training=True)
            fake = _SCALE * correction[self.rows]
            seems_fake = tf.reduce_mean(tf.nn.softplus(-self.critic([evidence, fake])))
            error = tf.reduce_mean(log_error(missing, correction))
            share = tf.cast(tf.shape(real)[0] / tf.shape(missing)[0], tf.float32)
            loss = error + self.weight * share * seems_fake
        variables = self.network.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                inner.watch(real)
                logits = self.critic([evidence, real])
                per_image = tf.reduce_mean(logits, axis=[1, 2, 3])
            slope = inner.gradient(per_image, real)
            r1 = tf.reduce_mean(tf.reduce_sum(slope**2, axis=[1, 2, 3]))
            critic_loss = tf.reduce_mean(tf.nn.softplus(-logits))
            critic_loss += tf.reduce_mean(tf.nn.softplus(self.critic([evidence, fake])))
            total = critic_loss + 0.5 * r1
        variables = self.critic.trainable_variables
        self.critic_optimizer.apply_gradients(zip(tape.gradient(total, variables), variables))
        for tracker, value in zip(self.trackers, (error, critic_loss)):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


def patch_critic(channels=(32, 64, 128), dtype="float32"):
    """Evidence and what is added to it, `[batch, height, width, 3]` each, around zero -> logits
    of regions of 26 pixels' width."""
    layers = keras.layers
    inputs = [keras.Input([None, None, 3]) for _ in range(2)]
    x = layers.Concatenate(dtype=dtype)(inputs)
    for stage, width in enumerate(channels):
        strides = 2 if stage < 2 else 1
        x = layers.Conv2D(width, 4 if strides == 2 else 3, strides, "same", dtype=dtype)(x)
        x = layers.LeakyReLU(0.2, dtype=dtype)(x)
    x = layers.Conv2D(1, 3, padding="same", dtype=dtype)(x)
    return keras.Model(inputs, layers.Activation("linear", dtype="float32")(x), name="critic")


def fit(
    network,
    examples,
    held_out,
    folder,
    epochs=50,
    steps_per_epoch=100,
    learning_rate=1e-3,
    realism=0.0,
    seed=None,
):
    """Trains `network`; interrupted, it goes on from its last epoch when called again.

    Args:
      network: of `tfgpr.residual.residual_network`.
      examples, held_out: `Examples` of training images, and of others.
      folder: keeps the state of an unfinished training, and log.csv.
      epochs, steps_per_epoch: how long.
      learning_rate: of Adam; it falls to zero along a cosine.
      realism: above 0: `Sharpened`, with this weight.
      seed: which examples, a whole number from 0; None: others at each call, so that a training
        that goes on does not see the old ones again.
    Returns:
      dict from task to the mean PSNR in dB on `held_out` at the end.
    Raises:
      InputError: the loss is no longer finite.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * steps_per_epoch)
    trained = Sharpened(network, realism) if realism else network
    trained.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss=log_error)
    report = _Report(network, held_out)
    begin = np.random.SeedSequence(seed).entropy % 2**30
    dataset = tf.data.Dataset.range(begin, 2**31 - 1)
    dataset = dataset.map(lambda index: examples.batch(tf.cast(index, tf.int32)))
    trained.fit(
        dataset.prefetch(2),
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        verbose=1 if sys.stdout.isatty() else 2,
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            report,
            Log(folder / "log.csv"),
            keras.callbacks.BackupAndRestore(str(folder / "backup")),  # of what is in the log
        ],
    )
    if not report.psnr:  # killed behind the last epoch
        report.on_epoch_end(epochs)
    if not all(value > -np.inf for value in report.psnr.values()):
        raise InputError(
            f"Expected a finite loss. Received: NaN, in {folder}; train again with a lower "
            "--learning_rate."
        )
    return report.psnr
