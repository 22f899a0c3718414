"""`Part`: a network that a prior has learned besides G and D."""


class Part:
    """A network, and what is needed to make it again and to tell where it is from.

    Args:
      network: a Keras model that `make` returned.
      architecture: the arguments that made it, without `dtype`.
      training: any JSON value that tells how the weights came to be.
    """

    make = None  # function that returns the network

    def __init__(self, network, architecture, training=None):
        self.network = network
        self.architecture = architecture
        self.training = training or {}

    @classmethod
    def untrained(cls, architecture, dtype="float32", training=None):
        """One with the weights that `make` starts with."""
        return cls(cls.make(**architecture, dtype=dtype), architecture, training)
