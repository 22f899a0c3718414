"""Restoring any number of files: an Apache Beam pipeline around an export.

    from tfgpr import bulk

    counts = bulk.restore_bulk("photos/", "restored/", "super_resolution", "models/tfgpr")

Needs the extra `[beam]`, which is imported on first use.
"""

from tfgpr.errors import InputError

__all__ = ["restore_bulk"]


def restore_bulk(source, output, task, model, **settings):
    """Restores files with an export; see `tfgpr.bulk.pipeline.restore_bulk`.

    Raises:
      InputError: the extra `[beam]` is missing, or as that function says.
    """
    try:
        import apache_beam  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"Expected the extra [beam]. Received: no module {error.name}; "
            "pip install 'tfgpr[beam]'."
        ) from error
    from tfgpr.bulk import pipeline

    return pipeline.restore_bulk(source, output, task, model, **settings)
