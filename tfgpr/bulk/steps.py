"""The steps of the pipeline: what is to be done, what is done already, what failed."""

import collections
import contextlib
import dataclasses
import hashlib
import json
import threading
from typing import NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics

from tfgpr.bulk import storage
from tfgpr.errors import InputError

NAMESPACE = "tfgpr.bulk"
DONE, FAILED = "done", "failed"

TALLY = collections.Counter()  # what happened in this process, for its progress line
_LOCK = threading.Lock()


def count(name, amount=1):
    """Counts for Beam's metrics, and for the progress line."""
    Metrics.counter(NAMESPACE, name).inc(amount)
    with _LOCK:
        TALLY[name] += amount


@dataclasses.dataclass(frozen=True)
class Work:
    """What all files have in common.

    Attributes:
      task: name of the task.
      settings: of the task, as the export has it.
      image_size: side of the restored images in pixels.
      face_crop: what a crop cuts; see `tfgpr.images.crop_and_resize`.
      crop: "auto", "face" or "none"; see `tfgpr.observations.load_observations`.
      root: folder that the files' names are relative to.
      output: folder of the pictures.
      mask: the one mask, as a file's content; None: no mask, or a folder of them.
      masks: folder of masks, named as the files are; None: no mask, or one.
      digest: of everything else that an answer depends on: the export and the task.
      overwrite: replace pictures that were made otherwise.
    """

    task: str
    settings: dict
    image_size: int
    face_crop: float | None
    crop: str
    root: str
    output: str
    mask: bytes | None
    masks: str | None
    digest: str
    overwrite: bool = False

    def target(self, name):
        """Path of the picture of the file `name`."""
        return storage.join(self.output, storage.target(name))


class Item(NamedTuple):
    """One file on its way.

    Attributes:
      path: of the file.
      name: its path below `Work.root`.
      made_from: digest of the file, its mask and `Work.digest`.
    """

    path: str
    name: str
    made_from: str


def _failed(path, reason):
    count("failed")
    return beam.pvalue.TaggedOutput(FAILED, {"file": path, "reason": reason})


def _done(item, loss, work):
    picture = storage.target(item.name)
    return {"file": item.path, "picture": picture, "task": work.task, "loss": loss}


class Name(beam.DoFn):
    """Paths -> (name of the picture, (path, name)); a path that cannot be named fails."""

    def __init__(self, work):
        self.work = work

    def process(self, path):
        count("found")
        try:
            name = storage.below(path, self.work.root)
        except InputError as error:
            yield _failed(path, str(error))
        else:
            yield storage.target(name), (path, name)


class Separate(beam.DoFn):
    """Lets each picture be made by one file only; those that would share one fail."""

    def process(self, group):
        picture, files = group
        listed = list(files)
        files = sorted(set(listed))
        if len(listed) > len(files):
            count("listed again", len(listed) - len(files))
        if len(files) == 1:
            yield files[0]
            return
        paths = ", ".join(path for path, _ in files)
        for path, _ in files:
            yield _failed(
                path,
                f"Expected one file for each picture. Received: {paths}, which would all become "
                f"{picture}; rename one.",
            )


class Prepare(beam.DoFn):
    """(path, name) -> (Item, example); finished ones to DONE, hopeless ones to FAILED."""

    def __init__(self, work):
        self.work = work

    def setup(self):
        from tfgpr import observations, tasks

        self._observations = observations
        self._task = tasks.TASKS[self.work.task](**self.work.settings)

    def process(self, element):
        path, name = element
        try:
            content, mask = storage.read(path), self._mask(name)
            item = Item(path, name, self._digest(content, mask))
            loss = self._finished(item)
            example = None if loss is not None else self._example(path, content, mask)
        except InputError as error:
            yield _failed(path, str(error))
        except Exception as error:  # whatever else a decoder raises on what is no image
            yield _failed(path, f"Expected a readable image. Received: {path} ({error!r}).")
        else:
            if loss is None:
                yield item, example
            else:
                count("skipped")
                yield beam.pvalue.TaggedOutput(DONE, _done(item, loss, self.work))

    def _mask(self, name):
        if self.work.masks is None:
            return self.work.mask
        stem = storage.join(self.work.masks, name)
        try:
            return storage.read(stem)
        except InputError:
            return storage.read(storage.join(self.work.masks, storage.target(name)))

    def _digest(self, content, mask):
        digest = hashlib.sha256(self.work.digest.encode())
        for part in (content, mask or b""):
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()[:32]

    def _finished(self, item):
        """The loss of a picture that is there already, or None where it is to be made."""
        path = self.work.target(item.name)
        note = storage.read_note(path)
        if note is None:
            return None
        if note.get("made_from") == item.made_from:
            return note["loss"]
        if not self.work.overwrite:
            raise InputError(
                f"Expected no other picture at {path}. Received: one that was made from another "
                "file, mask or export; pass --overwrite (overwrite=True), or choose another "
                "output."
            )
        return None

    def _example(self, path, content, mask):
        from tfgpr.images import read_image

        work = self.work
        image = read_image(storage.NamedBytes(content, path))
        if mask is not None:
            mask = self._observations.read_mask(storage.NamedBytes(mask, f"the mask of {path}"))
        elif "known" in self._task.operator.conditions:
            raise InputError(f"Expected a mask with {work.task}. Received: none; pass --known.")
        return self._observations.observation_of(
            image, self._task, work.image_size, work.face_crop, mask, work.crop
        )


class Write(beam.DoFn):
    """(Item, prediction) -> a line of the report, once the picture is written."""

    def __init__(self, work):
        self.work = work

    def process(self, element):
        item, prediction = element
        if "error" in prediction:
            yield _failed(item.path, prediction["error"])
            return
        loss = round(float(prediction["loss"]), 5)
        note = {"made_from": item.made_from, "task": self.work.task, "loss": loss}
        picture = storage.to_png(prediction["restored"], note)
        storage.write(self.work.target(item.name), picture)
        count("restored")
        yield _done(item, loss, self.work)


@dataclasses.dataclass(frozen=True)
class Kept:
    """Whether a line of an earlier report stays: its picture is still in `output` as it says."""

    output: str

    def __call__(self, row):
        note = storage.read_note(storage.join(self.output, row["picture"]))
        return bool(note) and all(note.get(name) == row[name] for name in ("task", "loss"))


class WriteLines(beam.PTransform):
    """Writes dicts as JSON lines, sorted by file, so that every run writes the same bytes.

    Args:
      path: of the file, such as FOLDER/report.jsonl.
      shards: in how many files; from 2 on they are called FOLDER/report-00000-of-00010.jsonl.
      kept: called with each line that is there already and is of no picture in `dicts`: whether
        it stays. None: none does.
    """

    def __init__(self, path, shards=1, kept=None):
        super().__init__()
        self.path = path
        self.shards = shards
        self.kept = kept

    def expand(self, rows):
        shards = rows.pipeline | "Shards" >> beam.Create(range(self.shards))
        empty = shards | "Empty" >> beam.Map(lambda shard: (shard, None))
        keyed = rows | "Shard" >> beam.Map(_with_shard, self.shards)
        return (
            (keyed, empty)
            | beam.Flatten()
            | beam.GroupByKey()
            | "Write" >> beam.Map(_write_shard, self.path, self.shards, self.kept)
        )


def _with_shard(row, shards):
    name = row.get("picture", row["file"])  # whatever a picture is made from, its line is in one
    number = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(number[:8], "big") % shards, row


def _write_shard(group, path, shards, kept):
    shard, rows = group
    rows = [row for row in rows if row is not None]
    if shards > 1:
        stem, _, ending = path.rpartition(".")
        path = f"{stem}-{shard:05d}-of-{shards:05d}.{ending}"
    if kept is not None:
        made = {row["picture"] for row in rows}
        rows += [row for row in _old_rows(path) if row["picture"] not in made and kept(row)]
    lines = sorted(json.dumps(row) for row in rows)
    storage.write(path, "".join(f"{line}\n" for line in lines).encode())
    return path


def _old_rows(path):
    """The lines of a report that an earlier run wrote; none where there is none."""
    for line in storage.lines(path):
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and {"file", "picture", "task", "loss"} <= row.keys():
                yield row
