"""The one exception for what a user can put right."""


class InputError(ValueError):
    """Bad input: the message says what was expected, what was received, and what to do.

    Scripts print it as one line and end with exit code 2; anything else that is raised
    is a fault of tfgpr and keeps its traceback.
    """
