"""Serving: the export that TF Serving runs, and the client that restores through it."""

from tfgpr.serving.client import RestoreClient
from tfgpr.serving.export import export_savedmodel

__all__ = ["RestoreClient", "export_savedmodel"]
