"""A page in the browser: upload a face, paint a hole, restore it.

python scripts/demo_app.py
"""

from absl import flags

from tfgpr import commands, precision

FLAGS = flags.FLAGS
flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; the default is this machine only.")
flags.DEFINE_integer("port", 7860, "Port of the page; 0: any free one.", 0, 65535)
flags.DEFINE_string("model_dir", None, "Folder of a prior; the shipped one if left out.")
flags.DEFINE_enum("dtype", "auto", precision.DTYPES, "Compute dtype.")
flags.DEFINE_string("target", None, "HOST:PORT of a server to restore through, in place of that.")
flags.DEFINE_string("model", "tfgpr", "Name of the model on the server.")
flags.DEFINE_float("deadline", 120.0, "Seconds that the server may take.")


def main(_):
    from tfgpr import InputError, demo, load_prior, serving

    demo.gradio()  # said at once if it is missing
    if FLAGS.target is None:
        demo.launch(
            demo.InProcess(load_prior(FLAGS.model_dir, FLAGS.dtype)), FLAGS.host, FLAGS.port
        )
        return
    if FLAGS.model_dir:
        raise InputError("Expected --target or --model_dir. Received: both; leave one out.")
    with serving.RestoreClient(FLAGS.target, FLAGS.model, deadline=FLAGS.deadline) as client:
        demo.launch(demo.Served(client), FLAGS.host, FLAGS.port)


if __name__ == "__main__":
    commands.run(main)
