"""Serves an export over gRPC for development and tests; production runs TF Serving.

python export/local_server.py --model_base_path=models/tfgpr --port=8500
"""

import signal

from absl import flags, logging

from tfgpr import commands

FLAGS = flags.FLAGS
flags.DEFINE_string("model_base_path", None, "Folder of all versions of the model.")
flags.DEFINE_string("model_name", "tfgpr", "What clients call the model.")
flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; the default is this machine only.")
flags.DEFINE_integer("port", 8500, "Port of gRPC; 0: any free one.", 0, 65535)
flags.DEFINE_float("poll_seconds", 1.0, "Time between looks for new versions.", lower_bound=0)
flags.DEFINE_integer("num_versions", 1, "How many of the newest versions to serve.", lower_bound=1)
flags.DEFINE_integer("workers", 16, "Requests handled at a time.", lower_bound=1)
flags.DEFINE_boolean("warm_up", True, "Replay the export's warm-up requests before serving.")
flags.mark_flags_as_required(["model_base_path"])


def main(_):
    from tfgpr.serving.local_server import LocalServer

    logging.set_verbosity(logging.WARNING)

    def say(line):
        print(line, flush=True)

    server = LocalServer(
        FLAGS.model_base_path,
        FLAGS.model_name,
        FLAGS.host,
        FLAGS.port,
        FLAGS.poll_seconds,
        FLAGS.num_versions,
        FLAGS.workers,
        FLAGS.warm_up,
        say,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with server:
        say(f"Listening on {FLAGS.host}:{server.port} (a development server).")
        try:
            server.wait()
        except KeyboardInterrupt:
            say("Stopping.")


if __name__ == "__main__":
    commands.run(main)
