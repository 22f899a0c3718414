"""tensorflow-addons, which ended with TensorFlow 2.15: imported only where something asks."""

import warnings

from tfgpr.errors import InputError


def load(purpose):
    """The module `tensorflow_addons`.

    Args:
      purpose: what needs it, for the message.
    Raises:
      InputError: it does not import on this stack; the message names one where it does.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it announces its end
            import tensorflow_addons
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"Expected tensorflow-addons for {purpose}. Received: a stack without it ({error}); "
            "it needs Python 3.9 to 3.11 and TensorFlow 2.15: pip install 'tfgpr[addons]' in an "
            "environment of its own."
        ) from error
    return tensorflow_addons
