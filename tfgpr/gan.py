"""The adversarial game as a Keras model with a custom `train_step`.

    min_D  E softplus(-D(x)) + E softplus(D(G(z))) + gamma/2 E ||grad_x D(x)||^2
    min_G  E softplus(-D(G(z)))

with D(.) the logit: the non-saturating logistic loss (Goodfellow et al. 2014) with the R1
penalty of Mescheder et al. 2018, applied lazily (Karras et al. 2020: every `r1_interval`
steps, weighted by that interval). Real and generated images pass D in separate calls, as
in DCGAN, so batch statistics are never mixed. Both networks move at once, by one pass of the
same images (Shen et al. 2021, "Training Generative Adversarial Networks in One Stage"): a
third less work than taking turns.

With an encoder E, G is also held to the real images (Larsen et al. 2016; here E is not random):

    min_{G, E}  w E mean (x - G(E(x)))^2 + law(E(x))

where law(.) is the squared difference between the mean and the mean square of each coordinate
over the batch and those of p_z: E answers with z as p_z would draw them. G(E(x)) is drawn in
inference mode, as a restoration draws.
"""

import keras
import tensorflow as tf

from tfgpr import latent as latent_laws
from tfgpr.augmentation import diff_augment

_WARM_UP = 500  # steps of E until the reconstruction's full weight is on G
_FIRST_STEPS = 150  # of a D that began anew beside a trained G, before G heeds it


@keras.saving.register_keras_serializable(package="tfgpr")
class GAN(keras.Model):
    """Trains a generator and a discriminator; keeps a moving average of the generator.

        gan = tfgpr.GAN(generator, discriminator)     # any Keras models; or tfgpr.networks'
        gan.compile()                                 # or your own two optimizers
        gan.fit(images, batch_size=64, epochs=50)     # images in [0, 1], or a tf.data.Dataset
        prior = tfgpr.GanPrior.from_gan(gan, crop=None)
        prior.save("my_prior")

    `scripts/train.py` is a long run with checkpoints, logs and sample grids.

    Args:
      generator: Keras model, z `[batch, latent_dim]` -> images in [-1, 1].
      discriminator: Keras model, images in [-1, 1] -> logits `[batch, 1]`.
      latent_law: "uniform" (on [-1, 1], the paper's) or "gaussian".
      r1_gamma: weight of the R1 penalty; 0 leaves it out.
      r1_interval: steps from one R1 penalty to the next.
      augment: whether D sees images through `tfgpr.augmentation.diff_augment`.
      cutout: whether that also hides a square of each image: for small sets of images.
      ema_decay: of the averaged generator; ramped up from 0 over the first steps.
      encoder: None, or a Keras model, images in [-1, 1] -> z `[batch, latent_dim]`, trained
        along with G; see `tfgpr.networks.dcgan_encoder`.
      reconstruction_weight: w above, of the mean square over pixels in [-1, 1].
      seed: of z, together with the number of the step.

    Under a `tf.distribute` strategy (built and compiled in its scope) each replica takes its
    part of the batch and of z, and the losses are those of the whole batch; see
    `synchronize_batch_norm`.

    Calling the model draws with the averaged generator: z -> images in [-1, 1].
    """

    def __init__(
        self,
        generator,
        discriminator,
        latent_law="uniform",
        r1_gamma=1.0,
        r1_interval=16,
        augment=True,
        ema_decay=0.999,
        cutout=False,
        encoder=None,
        reconstruction_weight=0.0,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.latent_law = latent_law
        self.r1_gamma = r1_gamma
        self.r1_interval = r1_interval
        self.augment = augment
        self.cutout = cutout
        self.encoder = encoder
        self.reconstruction_weight = reconstruction_weight
        self.seed = seed
        self.ema_decay = ema_decay
        self.ema_generator = keras.models.clone_model(generator)
        self.ema_generator.set_weights(generator.get_weights())
        self.ema_generator.trainable = False
        self.latent = latent_laws.law(latent_law, generator.input_shape[-1])
        self.steps = tf.Variable(
            0,
            trainable=False,
            dtype=tf.int64,
            name="steps",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        names = ("d_loss", "g_loss", "r1", "real_logit", "fake_logit")
        names += ("reconstruction",) if encoder else ()
        self.trackers = {name: keras.metrics.Mean(name) for name in names}
        self.built = True

    def compile(
        self,
        generator_optimizer=None,
        discriminator_optimizer=None,
        encoder_optimizer=None,
        **kwargs,
    ):
        """Sets the optimizers; Adam(2e-4, beta_1=0.5) where None.

        Args:
          generator_optimizer, discriminator_optimizer, encoder_optimizer: Keras optimizers;
            the last one is not used without an encoder.
          **kwargs: further arguments of `keras.Model.compile`. XLA is off unless asked for.
        """
        given = generator_optimizer, discriminator_optimizer, encoder_optimizer
        made = [each or keras.optimizers.Adam(2e-4, beta_1=0.5) for each in given]
        # Keras wants to know one optimizer; its default would be a further one.
        super().compile(**{"optimizer": made[0], "jit_compile": False, **kwargs})
        for network, optimizer in zip(("generator", "discriminator", "encoder"), made):
            if getattr(self, network) is not None:
                setattr(self, f"{network}_optimizer", optimizer)
                _build(optimizer, getattr(self, network).trainable_variables)

    @property
    def trained(self):
        """The names of the networks that have an optimizer."""
        return ("generator", "discriminator", *(("encoder",) if self.encoder else ()))

    def call(self, z, training=False):
        return self.ema_generator(z, training=training)

    def train_step(self, real):
        """One update of D, G and, where there is one, E.

        Args:
          real: images `[batch, height, width, 3]` in [0, 1], or uint8.
        Returns:
          dict of the running means of the losses, the R1 penalty and the mean logits.
        """
        real = tf.image.convert_image_dtype(real, tf.float32) * 2.0 - 1.0
        seen = self._augmented(real)
        logs = {}
        with tf.GradientTape(persistent=True) as tape:
            fake = self.generator(self._draw(tf.shape(real)[0]), training=True)
            fake_logits = self.discriminator(self._augmented(fake), training=True)
            real_logits = self.discriminator(seen, training=True)
            d_loss = tf.reduce_mean(tf.nn.softplus(-real_logits))
            d_loss += tf.reduce_mean(tf.nn.softplus(fake_logits))
            g_loss = tf.reduce_mean(tf.nn.softplus(-fake_logits))
            if self.encoder:
                logs["reconstruction"], law = self._reconstruction(real)
                autoencoding = self.reconstruction_weight * logs["reconstruction"] + law
        of_g, of_d = self.generator.trainable_variables, self.discriminator.trainable_variables
        heed = self._heed()
        gradients = {"generator": [heed * each for each in tape.gradient(g_loss, of_g)]}
        gradients["discriminator"] = tape.gradient(d_loss, of_d)
        if self.encoder:
            found = tape.gradient(autoencoding, [*of_g, *self.encoder.trainable_variables])
            gradients["encoder"] = found[len(of_g) :]
            # G follows as E learns: at first E asks for anything.
            share = tf.cast(self.encoder_optimizer.iterations, tf.float32) / _WARM_UP
            pairs = zip(gradients["generator"], found)
            gradients["generator"] = [a + tf.minimum(1.0, share) * b for a, b in pairs]
        del tape
        r1_turn = tf.equal(self.steps % self.r1_interval, 0)
        r1 = tf.zeros([])
        if self.r1_gamma > 0:
            of_r1, r1 = tf.cond(
                r1_turn,
                lambda: self._r1_gradients(seen),
                lambda: ([tf.zeros_like(each) for each in of_d], r1),
            )
            # Added out here: inside of the branch TensorFlow's arithmetic optimizer makes of
            # the sums temporary variables, whose names then collide (float32, 64 pixels).
            gradients["discriminator"] = [a + b for a, b in zip(gradients["discriminator"], of_r1)]
        for name in self.trained:
            optimizer = getattr(self, f"{name}_optimizer")
            self._apply(optimizer, gradients[name], getattr(self, name))
        self._update_average()
        self.steps.assign_add(1)

        logs.update(
            d_loss=d_loss,
            g_loss=g_loss,
            real_logit=tf.reduce_mean(real_logits),
            fake_logit=tf.reduce_mean(fake_logits),
        )
        for name, value in logs.items():
            self.trackers[name].update_state(value)
        # Computed on its turns only.
        self.trackers["r1"].update_state(r1, sample_weight=tf.cast(r1_turn, tf.float32))
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def _draw(self, batch):
        """z of this replica's part of the batch: the same whoever draws it, on one or many."""
        context = tf.distribute.get_replica_context()
        first = batch * context.replica_id_in_sync_group
        seed = tf.stack([self.seed, tf.cast(self.steps, tf.int32)])
        whole = self.latent.sample(batch * context.num_replicas_in_sync, seed)
        return whole[first : first + batch]

    def _heed(self):
        """1; 0 while D, younger than G, knows nothing yet: G would blind it for good."""
        age = self.discriminator_optimizer.iterations
        young = (age < _FIRST_STEPS) & (age < self.generator_optimizer.iterations)
        return 1.0 - tf.cast(young, tf.float32)

    def _augmented(self, images):
        return diff_augment(images, self.cutout) if self.augment else images

    @staticmethod
    def _apply(optimizer, gradients, network):
        # Keras sums over replicas; the loss is the mean over all of them.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        scaled = [gradient / replicas for gradient in gradients]
        optimizer.apply_gradients(zip(scaled, network.trainable_variables))

    def _r1_gradients(self, seen):
        """Gradients of the lazy R1 penalty in D's weights, and |grad D(x)|^2."""
        weights = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                inner.watch(seen)
                logits = self.discriminator(seen, training=True)
            slope = inner.gradient(logits, seen)
            r1 = tf.reduce_mean(tf.reduce_sum(slope**2, axis=[1, 2, 3]))
            penalty = 0.5 * self.r1_gamma * self.r1_interval * r1
        found = tape.gradient(penalty, weights)
        # The last bias has no part in the slope.
        return [tf.zeros_like(w) if g is None else g for g, w in zip(found, weights)], r1

    def _reconstruction(self, real):
        """The mean square of x - G(E(x)), and how far E(x) is from following p_z."""
        z = tf.cast(self.encoder(real, training=True), tf.float32)
        # The batch norm of these draws is that of the search: moving statistics.
        drawn = self.generator(z, training=False)
        moments = tf.stack([tf.reduce_mean(z, axis=0), tf.reduce_mean(z**2, axis=0)])
        context = tf.distribute.get_replica_context()  # the moments are those of the whole batch
        mean, square = tf.unstack(context.all_reduce(tf.distribute.ReduceOp.MEAN, moments))
        law = tf.reduce_mean(mean**2 + (square - self.latent.variance) ** 2)
        return tf.reduce_mean((real - drawn) ** 2), law

    def _update_average(self):
        step = tf.cast(self.steps, tf.float32)
        rate = 1.0 - tf.minimum(self.ema_decay, step / (step + 10.0))

        def update(strategy, rate):
            # On each device its own copy; without a strategy this is a plain loop.
            for pair in zip(self.ema_generator.weights, self.generator.weights):
                average, variable = tensorflow_variables(pair)
                strategy.extended.update(
                    average,
                    lambda a, v, rate: a.assign(a + rate * (v - a)),
                    args=(variable, rate),
                    group=False,
                )

        tf.distribute.get_replica_context().merge_call(update, args=(rate,))

    @property
    def metrics(self):
        return list(self.trackers.values())

    def get_config(self):
        # Keras's base class would put in the arguments of a functional model.
        return {
            "name": self.name,
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "latent_law": self.latent_law,
            "r1_gamma": self.r1_gamma,
            "r1_interval": self.r1_interval,
            "augment": self.augment,
            "ema_decay": self.ema_decay,
            "cutout": self.cutout,
            "encoder": self.encoder and keras.saving.serialize_keras_object(self.encoder),
            "reconstruction_weight": self.reconstruction_weight,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        networks = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("generator", "discriminator", "encoder")
            if config.get(name)
        }
        return cls(**{**config, **networks})

    def get_compile_config(self):
        names = [f"{name}_optimizer" for name in self.trained]
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}

    def compile_from_config(self, config):
        self.compile(
            **{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()}
        )


def tensorflow_variables(variables):
    """The `tf.Variable`s behind Keras's variables, the same on Keras 2 and 3."""
    return [v if isinstance(v, tf.Variable) else v.value for v in variables]


def synchronize_batch_norm(model):
    """Has a model's batch norm take its statistics over all replicas, as on one device."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
            layer.fused = False  # Keras 2: the fused kernel knows one device only


def _build(optimizer, variables):
    if hasattr(optimizer, "build"):
        optimizer.build(variables)
    else:  # tensorflow-addons' are of Keras's older kind, which builds itself at the first step
        optimizer._create_all_weights(variables)


def recompute_batch_norm(generator, latent, batches=20, batch_size=256, seed=0):
    """Sets the moving statistics of a generator's batch norm to those of its own weights.

    Averaged weights have never seen the statistics that a moving average of the training
    network's would give them. Does nothing where there is no batch norm.

    Args:
      generator: the Keras model to change.
      latent: the law that z follows.
      batches, batch_size: how many z are drawn.
      seed: of the draws.
    """
    norms = [
        layer for layer in generator.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [(layer.momentum, layer.trainable) for layer in norms]
    for batch in range(batches if norms else 0):
        for layer in norms:
            layer.momentum = batch / (batch + 1)  # the plain mean over all batches
            layer.trainable = True  # a frozen one would not look at the batch
        generator(latent.sample(batch_size, (seed, batch)), training=True)
    for layer, (momentum, trainable) in zip(norms, before):
        layer.momentum, layer.trainable = momentum, trainable
