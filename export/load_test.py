"""Load run against a server on this machine, beside the same restoration in process.

python export/load_test.py --model_base_path=models/tfgpr
"""

import contextlib
import ipaddress
import pathlib
import subprocess
import sys

import numpy as np
from absl import flags

import tfgpr
from tfgpr import commands, files, serving
from tfgpr.errors import InputError
from tfgpr.serving import load, metadata
from tfgpr.serving.versions import newest

FLAGS = flags.FLAGS
flags.DEFINE_string("model_base_path", None, "Folder of the versions of the export.")
flags.DEFINE_string("target", None, "HOST:PORT on this machine; default: a server of its own.")
flags.DEFINE_string("model_dir", None, "Folder of the exported prior; default: the shipped one.")
flags.DEFINE_string("task", "super_resolution", "What to restore.")
flags.DEFINE_list("clients", ["1", "4", "16"], "How many requests at a time.")
flags.DEFINE_list("batch_sizes", ["1", "16"], "Images in a request.")
flags.DEFINE_integer("requests", 64, "Per setting at most.", 1, 10000)
flags.DEFINE_float("seconds", 15.0, "No request of a setting starts later.", 0, 600)
flags.DEFINE_string("output", None, "JSON file for the figures.")
flags.mark_flags_as_required(["model_base_path"])


def main(_):
    clients, batches = commands.numbers("clients", 64), commands.numbers("batch_sizes", 64)
    require_loopback()
    folder = newest(FLAGS.model_base_path)
    about = metadata.read(folder)
    task = metadata.task_of(about, FLAGS.task, folder)
    size = about["prior"]["image_size"]
    iterations = about["tasks"][task.name]["iterations"]
    with server() as target:
        restorer = tfgpr.Restorer(
            tfgpr.load_prior(FLAGS.model_dir, "float32"),
            task,
            task.default.with_iterations(iterations),
            about["seed"],
        )
        inputs = observe(task, size, max(batches))
        print(f"{task.name}, {iterations} iterations, {size}x{size} pixels")
        print(f"{'':21} requests  req/s  images/s   p50 s   p95 s   p99 s")
        rows = []
        for batch in batches:
            part = {name: value[:batch] for name, value in inputs.items()}
            rows.append(measure("process", lambda part=part: restorer.restore(**part), 1, batch))
        for batch in batches:
            part = {name: value[:batch] for name, value in inputs.items()}
            with serving.RestoreClient(target, deadline=600.0, batch_size=batch) as client:
                for count in clients:

                    def restore(client=client, part=part):
                        client.restore(task.name, **part)

                    rows.append(measure("server", restore, count, batch))
    if FLAGS.output:
        files.write_json(FLAGS.output, {"export": about, "runs": rows})


def observe(task, size, count):
    """Observations of random pictures: the work does not depend on what they show."""
    pictures = np.random.default_rng(0).random((count, size, size, 3), np.float32)
    observed, conditions = task.observe(pictures)
    return {"observed": observed, **conditions}


def measure(where, restore, clients, batch):
    restore()  # whatever happens only once
    row = load.measure(restore, clients, batch, FLAGS.seconds, FLAGS.requests)
    print(
        f"{where:7} {clients:2d} x batch {batch:2d} {row['requests']:8d} "
        f"{row['requests_per_second']:6.2f} {row['images_per_second']:9.2f} "
        f"{row['p50']:7.3f} {row['p95']:7.3f} {row['p99']:7.3f}",
        flush=True,
    )
    return {"where": where, "clients": clients, "batch": batch, **row}


def require_loopback():
    if FLAGS.target is None:
        return
    host = FLAGS.target.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    if host != "localhost":
        raise InputError(
            f"Expected a server on this machine, such as localhost:8500. Received: {FLAGS.target}; "
            "other people's servers are not for load runs."
        )


@contextlib.contextmanager
def server():
    """Yields the address of the server: --target, or one in a process of its own."""
    if FLAGS.target is not None:
        yield FLAGS.target
        return
    script = pathlib.Path(__file__).with_name("local_server.py")
    flags_of_it = [f"--model_base_path={FLAGS.model_base_path}", "--port=0", "--poll_seconds=0"]
    process = subprocess.Popen(
        [sys.executable, script, *flags_of_it, "--nowarm_up"], stdout=subprocess.PIPE, text=True
    )
    try:
        for line in process.stdout:
            if line.startswith("Listening on "):
                yield line.split()[2]
                return
        raise InputError(f"The server ended with exit code {process.wait()}; see above.")
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    commands.run(main)
