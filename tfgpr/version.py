"""The version of tfgpr, which setup.cfg reads too."""

__version__ = "0.1.0"
