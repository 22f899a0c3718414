"""One search of the latent space in parts: where it begins, its steps, the best of it."""

import collections

import numpy as np
import tensorflow as tf

# Everything a search carries from step to step; each a tensor (or tuple) of [rows, ...].
Search = collections.namedtuple("Search", ["z", "state", "best_z", "best_loss"])


def begin(z0, optimizer):
    """A `Search` that starts at z0 `[rows, dim]`."""
    return Search(z0, optimizer.init(z0), z0, tf.fill(tf.shape(z0)[:1], np.inf))


def advance(objective, search, optimizer, steps, project=tf.identity):
    """Takes `steps` steps: the new `Search`, and the loss before each step `[steps, rows]`.

    Args:
      objective: z `[rows, dim]` -> loss `[rows]`.
      search: a `Search`.
      optimizer: `init` and `update`; see `tfgpr.optimizers`.
      steps: how many, an integer or a scalar tensor.
      project: maps z to where it may be, after each step.
    """

    def step(index, search, trace):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(search.z)
            loss = objective(search.z)
        gradient = tape.gradient(loss, search.z)
        best_z, best_loss = _better(search, loss)
        z, state = optimizer.update(gradient, search.state, search.z)
        return index + 1, Search(project(z), state, best_z, best_loss), trace.write(index, loss)

    trace = tf.TensorArray(tf.float32, size=steps, element_shape=[search.z.shape[0]])
    _, search, trace = tf.while_loop(
        lambda index, *_: index < steps, step, [tf.constant(0), search, trace]
    )
    return search, trace.stack()


def finish(objective, search, trace):
    """The best z of each row, its loss, and the trace of all steps `[steps + 1, rows]`, the last
    iterate included everywhere."""
    last = objective(search.z)
    return *_better(search, last), tf.concat([trace, last[None]], axis=0)


def _better(search, loss):
    better = loss < search.best_loss
    best_z = tf.where(better[:, None], search.z, search.best_z)
    return best_z, tf.where(better, loss, search.best_loss)
