"""The pipeline: files in; pictures, a report and a list of failures out.

    list -> name -> group by picture -> prepare -> RunInference -> write
                                           |                         |
                                 failed.jsonl, and what is      report.jsonl
                                 done already: report.jsonl

Only names are grouped; a file is read, restored and written in one go, so that at any
moment only a few batches of images are in memory, and a killed run has lost only those.
"""

import contextlib
import hashlib
import json
import logging
import os
import threading
import time

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from tfgpr.bulk import handler, inputs, storage
from tfgpr.bulk.steps import (
    DONE,
    FAILED,
    NAMESPACE,
    TALLY,
    Kept,
    Name,
    Prepare,
    Separate,
    Work,
    Write,
    WriteLines,
)
from tfgpr.errors import InputError
from tfgpr.images import EXTENSIONS
from tfgpr.serving import metadata

# What DirectRunner runs a batch pipeline on; by its own name it fetches no other engine first.
LOCAL_RUNNER = "FnApiRunner"


def restore_bulk(
    source,
    output,
    task,
    model,
    known=None,
    crop="auto",
    batch_size=32,
    root=None,
    shards=1,
    overwrite=False,
    flags=(),
    say=None,
):
    """Restores files with an export, on this machine or on any runner of Beam.

    Writes to `output`, which may be on any file system that Beam knows:

        <path below root>.png   the pictures; each carries the digest of what it was made from
        report.jsonl            file, picture, task and loss of each, and of those that earlier
                                runs made, while they are there
        failed.jsonl            file and reason of each that this run could not restore

    A picture that is there, whole and made from the same file, mask and export is left alone.
    So a run that was killed is continued by the same call, and ends as if it had not been.
    What a file gets does not depend on other files, nor on the number of runs.

    Args:
      source: a folder (with everything below it whose ending is an image's), a pattern (`*`
        within a folder, `**` across folders), a .txt file with one path a line, or an image.
      output: folder for the pictures; not below a `source` that is a folder or has `**`, and
        not `root`.
      task: name of a task of `tfgpr.tasks.TASKS` that the export has.
      model: folder of an export, or of its versions: the highest number is taken.
      known: for inpainting: a mask file, or a folder with a mask for each file, of the same
        path below it; white where a pixel was observed.
      crop: "auto", "face" or "none"; see `tfgpr.observations.load_observations`.
      batch_size: images restored at a time.
      root: folder that the pictures' paths are relative to; None: `source`, up to its first
        wildcard; for a list: none, the paths as they stand.
      shards: files to split report.jsonl and failed.jsonl into, each sorted in memory.
      overwrite: replace pictures that were made from something else.
      flags: Beam's own, such as `["--runner=DataflowRunner", "--project=..."]`.
      say: called with a line about the progress every ten seconds, by local runners.
    Returns:
      dict of counts: `found`, `restored`, `skipped` (done before), `failed`, and others that
      Beam counted (`seconds`, `inferences`, `batches`).
    Raises:
      InputError: nothing to restore; no such export, task or mask, or a damaged one; an output
        inside the source, or below a file; a file system whose extra of Beam is missing.
    """
    if batch_size < 1 or shards < 1:
        raise InputError(f"Expected numbers from 1 on. Received: {batch_size}, {shards}.")
    options = _options(flags)
    FileSystems.set_options(options)
    source, output, model = map(os.fspath, (source, output, model))
    known, root = (None if path is None else os.fspath(path) for path in (known, root))
    listing, root, tree = inputs.listing_of(source, root)
    inputs.require_output(output, root, tree)
    folder = handler.find_version(model)
    about, digest = handler.describe(folder)
    settings = metadata.task_of(about, task, folder).settings
    handler.require_whole(folder, task)
    mask, masks = inputs.masks_of(known, task)
    work = Work(
        task=task,
        settings=settings,
        image_size=about["prior"]["image_size"],
        face_crop=about["prior"]["crop"],
        crop=crop,
        root=root,
        output=output,
        mask=mask,
        masks=masks,
        digest=hashlib.sha256(json.dumps([digest, task, crop]).encode()).hexdigest(),
        overwrite=overwrite,
    )
    pipeline = beam.Pipeline(options=options)
    restoring = handler.SavedModelHandler(folder, task, batch_size)
    build(pipeline | "List" >> listing, work, restoring, shards)
    began = time.monotonic()
    with _progress(say, began), _interruptible():
        result = pipeline.run()
        state = result.wait_until_finish()
    if state not in (None, "DONE"):
        raise RuntimeError(f"The pipeline ended as {state}; the runner's log says why.")
    counts = _counts(result)
    if not counts["found"]:
        raise InputError(
            f"Expected image files ({', '.join(EXTENSIONS)}) below {source}. Received: none."
        )
    return {**counts, "seconds": round(time.monotonic() - began, 1)}


def build(paths, work, restoring, shards=1):
    """Adds the steps from the paths on, and returns the lines of the report and of failures.

    Args:
      paths: a PCollection of paths.
      work: `tfgpr.bulk.steps.Work`.
      restoring: a ModelHandler from examples to predictions, as `SavedModelHandler`.
      shards: of the report.
    """
    named = paths | "Name" >> _tagged(Name(work))
    single = named.main | beam.GroupByKey() | "Separate" >> _tagged(Separate())
    prepared = single.main | "Prepare" >> _tagged(Prepare(work))
    written = (
        prepared.main | RunInference(KeyedModelHandler(restoring)) | "Write" >> _tagged(Write(work))
    )
    report = (prepared[DONE], written.main) | "Report" >> beam.Flatten()
    steps = (named, single, prepared, written)
    failed = tuple(step[FAILED] for step in steps) | "Failures" >> beam.Flatten()
    for name, rows, kept in (("report", report, Kept(work.output)), ("failed", failed, None)):
        path = storage.join(work.output, f"{name}.jsonl")
        _ = rows | f"Write {name}" >> WriteLines(path, shards, kept)
    return report, failed


def _tagged(function):
    return beam.ParDo(function).with_outputs(DONE, FAILED, main="main")


def _options(flags):
    for flag in flags:
        if not flag.startswith("--"):
            raise InputError(f"Expected flags as --name=value. Received: {flag}.")
    options = PipelineOptions(list(flags))
    standard = options.view_as(StandardOptions)
    if standard.runner is None:
        standard.runner = LOCAL_RUNNER
    if _is_local(standard.runner):
        # Other runners have flags of their own, which only they know.
        every = options.get_all_options(retain_unknown_options=True)
        unknown = sorted(set(every) - set(PipelineOptions([]).get_all_options()))
        if unknown:
            names = ", ".join(f"--{name}" for name in unknown)
            raise InputError(f"Expected flags of this script or of Beam. Received: {names}.")
    return options


def _is_local(runner):
    return runner.rpartition(".")[2] in (LOCAL_RUNNER, "DirectRunner")


@contextlib.contextmanager
def _progress(say, began, seconds=10.0):
    """Says every few seconds what happened in this process."""
    TALLY.clear()
    ended = threading.Event()

    def watch():
        while not ended.wait(seconds):
            done = TALLY["restored"]
            rate = done / (time.monotonic() - began)
            finished = sum(TALLY[name] for name in ("restored", "skipped", "failed"))
            if say is not None and TALLY["found"]:
                say(
                    f"{finished} of {TALLY['found']}: {done} restored ({rate:.2f}/s), "
                    f"{TALLY['skipped']} skipped, {TALLY['failed']} failed"
                )

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _interruptible():
    """Raises KeyboardInterrupt where Beam logs one and makes a RuntimeError of it."""
    logger = logging.getLogger("apache_beam.runners.common")
    logger.addFilter(_is_no_interrupt)
    try:
        yield
    except RuntimeError as error:
        if KeyboardInterrupt.__name__ not in str(error):
            raise
        raise KeyboardInterrupt from None
    finally:
        logger.removeFilter(_is_no_interrupt)


def _is_no_interrupt(record):
    return KeyboardInterrupt.__name__ not in record.getMessage()


def _counts(result):
    """Beam's counters by name."""
    counts = dict.fromkeys(("found", "restored", "skipped", "failed"), 0)
    metrics = result.metrics().query()
    for counter in metrics["counters"]:
        name = counter.key.metric.name
        if counter.key.metric.namespace == NAMESPACE:
            counts[name] = counts.get(name, 0) + counter.result
        elif name == "num_inferences":
            counts["inferences"] = counts.get("inferences", 0) + counter.result
    for spread in metrics["distributions"]:
        name = {
            "inference_batch_latency_micro_secs": "batches",
            "load_model_latency_milli_secs": "models loaded",
        }.get(spread.key.metric.name)
        if name is not None:
            counts[name] = counts.get(name, 0) + spread.result.count
    return counts
