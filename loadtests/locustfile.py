"""Load a served model by hand, with Locust's web page:

    locust -f loadtests/locustfile.py --target 127.0.0.1:7111 --model NAME --data STORE/prepared/FINGERPRINT

Add `--headless --users 8 --run-time 30s` for no page, `--processes 2` for more than one core. Every option is also a
field of the page and an environment variable. Locust rounds the percentiles it shows, to a millisecond at best: exact
ones are printed at the end, over all workers, and `--histogram FILE` keeps them.
"""

import itertools
from pathlib import Path
from typing import Any

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopTest
from locust.runners import MasterRunner

from core.errors import BakeoffError, InvalidInputError
from loadtests import checks
from loadtests.images import open_folder, random_images, test_images
from loadtests.locust_histogram import Latencies, attach
from loadtests.user import InferenceUser, Load
from services.client.inference import InferenceClient

USERS_PER_WORKER = 1_000_000
"""Workers number their users apart, so that no two send the same images."""


attach(Latencies())


class Caller(InferenceUser):
    """Sends one request after the other and tells Locust's statistics."""


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """Adds the options below to Locust's own."""
    group = parser.add_argument_group("Inference")
    group.add_argument("--target", env_var="LOADTEST_TARGET", default="127.0.0.1:7111", help="host:port of the server")
    group.add_argument("--model", env_var="LOADTEST_MODEL", default="", help="name of the served model")
    group.add_argument(
        "--model-version", env_var="LOADTEST_MODEL_VERSION", default="", help="empty: the server's choice"
    )
    group.add_argument(
        "--data", env_var="LOADTEST_DATA", default="", help="folder of prepared data; empty: random images"
    )
    group.add_argument("--batch", env_var="LOADTEST_BATCH", type=int, default=1, help="images per request")
    group.add_argument("--seed", env_var="LOADTEST_SEED", type=int, default=0, help="decides which images are sent")
    group.add_argument(
        "--timeout-s", env_var="LOADTEST_TIMEOUT_S", type=float, default=10.0, help="longest a request takes"
    )
    group.add_argument(
        "--histogram", env_var="LOADTEST_HISTOGRAM", default="", help="file for exact percentiles and the histogram"
    )


@events.test_start.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Connects and checks before the first user starts; a misfit stops the test with its message."""
    if isinstance(environment.runner, MasterRunner):
        return  # Its workers send; it only counts.
    environment.process_exit_code = None
    try:
        Caller.load = load(environment.parsed_options)
    except BakeoffError as error:
        environment.process_exit_code = 1
        environment.runner.log_exception("load test", str(error), "")  # For the page's list of exceptions.
        raise StopTest(str(error)) from None
    Caller.numbers = itertools.count(environment.runner.worker_index * USERS_PER_WORKER)


@events.test_stop.add_listener
def disconnect(**_: Any) -> None:
    """Closes the connection of a finished test; the next one opens its own."""
    if hasattr(Caller, "load"):
        Caller.load.client.close()


def load(options: Any) -> Load:
    """What the options ask for. A domain error where server, model and data do not fit together."""
    if not options.model:
        raise InvalidInputError("no model is named; give --model NAME, or LOADTEST_MODEL")
    version = int(options.model_version) if options.model_version else None
    client = InferenceClient(options.target, timeout_s=options.timeout_s, attempts=1)
    checks.check_live(client)
    if not options.data:
        images = random_images(checks.input_shape(client, options.model, version), options.seed)
        return Load(client, options.model, version, images, options.batch, options.seed)
    data = open_folder(Path(options.data))
    manifest = data.manifest
    checks.check_model(client, options.model, version, manifest.spec.image.shape, len(manifest.classes))
    return Load(client, options.model, version, test_images(data), options.batch, options.seed)
