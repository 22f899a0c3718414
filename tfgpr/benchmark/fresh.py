"""What a fresh process needs until its first restoration.

`costs.startup` runs this file's text by `python -c`: as a module, tfgpr would be imported
before the clock starts. Its argument is a JSON list: the task's name, the prior's folder or
null, the dtype. It prints the seconds of each part.
"""

import json
import sys
import time


def main(name, model_dir, dtype):
    laps, began = {}, time.perf_counter()

    def lap(part):
        nonlocal began
        laps[part] = time.perf_counter() - began
        began = time.perf_counter()

    import tensorflow  # noqa: F401

    lap("import_tensorflow")
    import tfgpr

    lap("import_tfgpr_beyond")
    prior = tfgpr.load_prior(model_dir, dtype)
    lap("load_prior")
    task = tfgpr.tasks.TASKS[name]()
    observed, given = task.observe(prior.sample(1))
    lap("observe")
    restorer = tfgpr.Restorer(prior, task)
    restorer.restore(observed, **given)
    lap("first_restoration")
    restorer.restore(observed, **given)
    lap("second_restoration")
    return laps


if __name__ == "__main__":
    print(json.dumps(main(*json.loads(sys.argv[1]))))
