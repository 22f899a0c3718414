"""A training run in one small file, to go on with on another machine.

A checkpoint of `tfgpr.training` is exact and large (four bytes for each weight, its average
and its two moments). This file rounds weights to float16 (see `tfgpr.precision.half`) and
Adam's second moments to bfloat16, and leaves out the first moments, which beta_1 = 0.5 forgets
within a few steps. Of another optimizer all moments are kept, as bfloat16.
"""

import json
import zipfile

import keras
import numpy as np
import tensorflow as tf

from tfgpr import precision
from tfgpr.errors import InputError
from tfgpr.files import atomic_path

# What may be others than in the state: weights and rates of the game, ...
_MAY_DIFFER = ("reconstruction_weight", "learning_rate", "discriminator_learning_rate", "seed")
_MAY_DIFFER += ("r1_gamma", "augment", "cutout")
# ... and what makes another discriminator, which then begins anew.
_OF_DISCRIMINATOR = ("discriminator_batch_norm", "spectral_norm")


def networks(gan):
    """The names of the networks of a `GAN` whose weights are its state."""
    return (*gan.trained, "ema_generator")


def optimizers(gan):
    """The names of its optimizers."""
    return tuple(f"{name}_optimizer" for name in gan.trained)


def optimizer_variables(optimizer):
    """Its Keras variables: an attribute, or a method in older optimizers."""
    variables = optimizer.variables
    return variables() if callable(variables) else variables


def save_state(gan, path, recipe):
    """Writes the state of a compiled `GAN`, atomically.

    Args:
      gan: a compiled `tfgpr.gan.GAN`.
      path: the file, `.npz`.
      recipe: JSON values that a run must share to go on from here.
    """
    arrays = {"recipe": json.dumps(recipe), "steps": gan.steps.numpy()}
    for name in networks(gan):
        for index, weight in enumerate(getattr(gan, name).get_weights()):
            arrays[f"{name}/{index:03d}"] = precision.half(weight)
    for name in optimizers(gan):
        for index, moment in enumerate(_moments(getattr(gan, name))):
            half = tf.cast(tf.convert_to_tensor(moment), tf.bfloat16)
            arrays[f"{name}/{index:03d}"] = tf.bitcast(half, tf.uint16).numpy()
        # Another number than the run's steps, where this network began later.
        arrays[f"iterations/{name}"] = int(getattr(gan, name).iterations.numpy())
    with atomic_path(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **arrays)


def load_state(gan, path, recipe, defaults):
    """Sets a compiled `GAN` to a state that `save_state` wrote.

    The weights of the reconstruction and of R1, the augmentation, the learning rates and the seed
    may be others than before. An encoder that the state does not have begins anew, and so does a
    discriminator of another norm; G and E go on.

    Args:
      gan: the `GAN`.
      path: the file.
      recipe: as in `save_state`.
      defaults: what an earlier version, whose state does not name a setting, did.
    Raises:
      InputError: the file is absent or no such state, or is of another recipe.
    """
    try:
        with np.load(path) as stored:
            arrays = dict(stored)
        begun = {**defaults, **json.loads(str(arrays["recipe"]))}
        steps = int(arrays["steps"])
    except (OSError, EOFError, TypeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"Expected a training state to start from. Received: {path} ({error!r})."
        ) from error
    differ = {name for name in recipe if begun.get(name) != recipe[name]}
    anew = "discriminator" if differ.intersection(_OF_DISCRIMINATOR) else None
    differ = sorted(differ.difference(_MAY_DIFFER, _OF_DISCRIMINATOR))
    if differ:
        theirs = ", ".join(f"{name}: {begun.get(name)}" for name in differ)
        raise InputError(
            f"Expected a training state of this recipe. Received: {path} with {theirs}; start "
            "with those settings, or without the state."
        )
    for name in networks(gan):
        if name != anew and (values := _of(arrays, name)):
            getattr(gan, name).set_weights([value.astype(np.float32) for value in values])
    for name in gan.trained:
        if name == anew:
            continue
        optimizer = getattr(gan, f"{name}_optimizer")
        values = _of(arrays, f"{name}_optimizer")
        for moment, value in zip(_moments(optimizer), values):
            moment.assign(tf.cast(tf.bitcast(value, tf.bfloat16), tf.float32))
        if values:
            optimizer.iterations.assign(int(arrays.get(f"iterations/{name}_optimizer", steps)))
    gan.steps.assign(steps)


def _of(arrays, name):
    return [arrays[key] for key in sorted(arrays) if key.startswith(f"{name}/")]


def _moments(optimizer):
    if isinstance(optimizer, keras.optimizers.Adam):
        return optimizer._velocities  # Keras has no public name; the same in Keras 2 and 3
    variables = optimizer_variables(optimizer)
    return [v for v in variables if len(v.shape) and "float" in str(v.dtype)]
