"""The Compose deployment on a real engine: trains, publishes, serves, is loaded, is killed, and goes on."""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from bakeoff.run.v1 import run_pb2

from core.errors import BakeoffError, NotReadyError
from core.schemas.data import DataSpec, DigitsSource, ImageSpec, SplitSpec
from core.schemas.specs import PrepareSpec
from services.client.channels import service_config
from services.client.control import EvaluatorClient, TrainerClient, is_serving
from services.client.inference import InferenceClient
from tests.system.containers import ROOT, Command, Engine, Project, running, start_engine, wait_for
from tests.system.stack import answered, documented, production, shell
from tests.system.test_trainer_service import training

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

SERVICES = ("trainer-keras", "trainer-pytorch", "evaluator", "serving-onnx", "production")
OVERRIDE = """
services:
  trainer-keras: {ports: !override ["127.0.0.1::7101"], environment: {BAKEOFF_TRAINER_THREADS: "1"}}
  trainer-pytorch: {ports: !override ["127.0.0.1::7101"], environment: {BAKEOFF_TRAINER_THREADS: "1"}}
  evaluator: {ports: !override ["127.0.0.1::7105"]}
  serving-onnx: {ports: !override ["127.0.0.1::7111"]}
  production: {ports: !override ["127.0.0.1::7111"]}
  locust-master: {ports: !override ["127.0.0.1::8089"]}
"""
QUICK = (
    *("--set", "frameworks=[pytorch, keras]", "--set", "seeds=[0]", "--set", "loadtest=null"),
    *("--set", "variants=[int8]"),
    *("--set", "formats={pytorch: [onnx], keras: [onnx]}"),
    *("--set", "arms={matched: {architecture: digits-cnn, mode: matched, recipe: {epochs: 1, batch_size: 64}}}"),
)
IMAGES = np.zeros((2, 8, 8, 1), np.uint8)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(start_engine())


@pytest.fixture(scope="module")
def project(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The running stack, healthy."""
    tag = engine.build("trainer-keras", "trainer-pytorch", "evaluator", "serving-onnx", "cli", "loadtest")
    override = tmp_path_factory.mktemp("compose") / "override.yaml"
    override.write_text(OVERRIDE)
    files = (ROOT / "deploy/compose.yaml", ROOT / "deploy/compose.loadtest.yaml", override)
    project = Project(engine, f"bakeoff-test-{os.getpid()}", files, tag)
    with running(project, SERVICES):
        yield project


@pytest.fixture(scope="module")
def promoted(project: Project) -> str:
    """A model trained, exported and scored through the containers, then promoted to production."""
    said = project.bakeoff("run", "experiments/digits.yaml", *QUICK)
    assert "report: /home/bakeoff/reports/digits/report.html" in said
    assert said.count("int8") >= 2, said  # Each trainer's container can quantise.
    project.bakeoff("promote", "digits-matched-pytorch-s0-onnx", "--as", "digits")
    return "digits"


@pytest.fixture(scope="module")
def fingerprint(project: Project, promoted: str) -> str:
    """Data that a trainer has prepared in the shared store."""
    with TrainerClient(project.target("trainer-pytorch", 7101)) as client:
        source = DigitsSource()
        data = DataSpec(
            source=source, image=ImageSpec(height=8, width=8, color="grey"), split=SplitSpec(policy="stratified")
        )
        client.create("containers-data", PrepareSpec(data=data, source_digest=client.inspect(source).digest))
        run = client.finish("containers-data", lambda event: None)
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED, run.error
    return str(json.loads(run.result_json)["fingerprint"])


def test_every_service_is_healthy_limited_and_cannot_write_its_root(project: Project) -> None:
    for service in SERVICES:
        found = project.engine.inspect(project.container(service))
        assert found["State"]["Health"]["Status"] == "healthy", service
        assert found["HostConfig"]["ReadonlyRootfs"], service
        assert found["HostConfig"]["CapDrop"] == ["ALL"], service
        assert found["HostConfig"]["NanoCpus"] > 0, service
        assert found["HostConfig"]["Memory"] > 0, service


def test_threads_follow_the_cpu_limit_not_the_machine(project: Project) -> None:
    code = "from core import cpu, memory; print(cpu.quota(), cpu.threads(), memory.limit_bytes())"
    said = project.engine("exec", project.container("serving-onnx"), "python", "-c", code)
    assert said.split() == ["1.0", "1", str(1 << 30)]


def test_only_writers_mount_the_store_writable(project: Project) -> None:
    writable = {
        service: next(
            mount["RW"]
            for mount in project.engine.inspect(project.container(service))["Mounts"]
            if mount["Destination"] == "/data"
        )
        for service in SERVICES
    }
    assert [service for service, can_write in writable.items() if not can_write] == ["serving-onnx", "production"]


def test_what_is_trained_and_promoted_is_picked_up_without_a_restart(project: Project, promoted: str) -> None:
    with production(project, promoted) as client:
        probabilities = client.predict(promoted, IMAGES).probabilities
    assert probabilities.shape == (2, 10)
    state = project.engine.inspect(project.container("production"))
    assert state["RestartCount"] == 0


def test_locusts_master_has_its_workers_load_production(project: Project, promoted: str) -> None:
    """As somebody does it on Locust's page: all three containers up, then its start button."""
    production(project, promoted).close()
    locust = ("locust-master", "locust-worker")
    project.compose("up", "--detach", "--no-build", "--pull", "never", "--wait", *locust)
    page = f"http://{project.target('locust-master', 8089)}"

    def asked() -> Any:
        return requests.get(f"{page}/stats/requests", timeout=10).json()

    try:
        wait_for(lambda: [each["state"] for each in asked()["workers"]] == ["ready", "ready"], "two workers")
        started = requests.post(f"{page}/swarm", {"user_count": 4, "spawn_rate": 4}, timeout=10)
        assert started.json()["success"], started.text
        wait_for(lambda: asked()["total_rps"] > 0 and asked()["stats"][-1]["num_requests"] > 200, "two hundred answers")
        found = asked()
        assert [each["user_count"] for each in found["workers"]] == [2, 2]
        assert found["stats"][-1]["name"] == "Aggregated"
        assert found["stats"][-1]["num_failures"] == 0, found["errors"]
        stopped = requests.post(f"{page}/stop", timeout=60)
        assert stopped.json()["success"], stopped.text
        wait_for(lambda: asked()["state"] == "stopped", "the end of it")
    finally:
        project.compose("rm", "--stop", "--force", *locust)


def test_a_trainer_killed_in_the_middle_goes_on_from_its_checkpoint(project: Project, fingerprint: str) -> None:
    name, epochs = project.container("trainer-pytorch"), 100
    with TrainerClient(project.target("trainer-pytorch", 7101)) as client:
        client.create("killed", training(fingerprint, epochs))
        ended = (event for event in client.watch("killed") if event.progress.unit == "epochs")
        next(ended)
        began = time.monotonic()
        # A checkpoint is written after the first epoch that ends more than a second after the last one.
        assert any(time.monotonic() - began > 1.5 for _ in ended), "it trained to its end first"
        project.engine("kill", name)
    project.engine("start", name)
    target = project.target("trainer-pytorch", 7101)
    wait_for(lambda: is_serving(target), "the trainer to come back")
    with TrainerClient(target) as client:
        events = list(client.watch("killed"))
        run = client.get("killed")
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED, run.error
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    lost = next(n for n, event in enumerate(events) if "lost with the service; resuming" in event.state_change.message)
    again = next(event.progress.done for event in events[lost:] if event.progress.unit == "epochs")
    assert again > 1, "it began again at the first epoch"


def under_way(client: type[TrainerClient | EvaluatorClient], target: str) -> bool:
    """Whether a service has a run that is running."""
    with client(target) as service:
        return any(run.state == run_pb2.RUN_STATE_RUNNING for run in service.list())


def test_an_experiment_survives_the_kill_of_the_command_and_of_the_evaluator(project: Project, promoted: str) -> None:
    """The command is killed while it trains and run again; then the evaluator is, while it scores."""
    wanted = ("run", "experiments/digits.yaml", *QUICK, "--set", "name=survivor", "--set", "variants=[]")
    wanted += ("--set", "arms.matched.recipe.epochs=100", "--set", "evaluate.batch_size=1")
    wanted += ("--set", "evaluate.corruptions=[noise, blur, contrast, jpeg]")
    command = Command(project, f"{project.name}-survivor", wanted)
    trainer, scorer = project.target("trainer-pytorch", 7101), project.target("evaluator", 7105)
    try:
        command.start()
        wait_for(lambda: command.reaches("1 pytorch") and under_way(TrainerClient, trainer), "a training")
        project.engine("kill", command.name)
        project.engine("rm", "--force", command.name)
        command.start()
        wait_for(
            lambda: command.reaches("plan: 2 evaluate") and under_way(EvaluatorClient, scorer),
            "an evaluation",
            timeout_s=180,
        )
        evaluator = project.container("evaluator")
        project.engine("kill", evaluator)
        project.engine("start", evaluator)
        lines = command.finish()
        assert "incomplete" not in lines
        assert "report: /home/bakeoff/reports/survivor/report.html" in lines
    finally:
        command.remove()


LOAD_TESTS = """
import json, pathlib
results = [json.loads(path.read_text()) for path in pathlib.Path("/data/store/results").glob("loadtest-*/result.json")]
print(json.dumps([one["errors"] for one in results if one["spec"]["model"].startswith("reloaded-")]))
"""


def test_a_server_killed_under_a_load_test_is_measured_again(project: Project, promoted: str) -> None:
    """What was measured while it was away is no result; the model is loaded again."""
    wanted = ("run", "experiments/digits.yaml", *QUICK, "--set", "name=reloaded", "--set", "variants=[]")
    wanted += ("--set", "frameworks=[pytorch]", "--set", "loadtest={users: 2, duration_s: 30}")
    command, server = Command(project, f"{project.name}-reloaded", wanted), project.container("serving-onnx")
    try:
        command.start()
        wait_for(lambda: command.reaches("plan: 1 loadtest"), "a load test", timeout_s=180)
        before = answered(project, "reloaded-matched-pytorch-s0-onnx")
        wait_for(lambda: answered(project, "reloaded-matched-pytorch-s0-onnx") > before + 50, "requests under way")
        project.engine("kill", server)
        project.engine("start", server)
        lines = command.finish()
    finally:
        command.remove()
    assert lines.count("the server was restarted; the model is loaded again") == 1, lines
    assert "incomplete" not in lines
    assert json.loads(project.engine("exec", server, "python", "-c", LOAD_TESTS)) == [{}]


def test_a_server_killed_under_requests_serves_the_same_again(project: Project, promoted: str) -> None:
    """Whoever waits for it is told that it is not there; nobody gets a wrong answer."""
    name = project.container("production")
    answers, failures, done = list[np.ndarray](), list[Exception](), threading.Event()
    with production(project, promoted) as client:
        before = client.predict(promoted, IMAGES).probabilities

        def call() -> None:
            while not done.is_set():
                try:
                    answers.append(client.predict(promoted, IMAGES).probabilities)
                except Exception as error:
                    failures.append(error)

        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            wait_for(lambda: len(answers) > 50, "requests under way")
            project.engine("kill", name)
            wait_for(lambda: len(failures) >= len(callers), "the callers to notice")
        finally:
            done.set()
            for caller in callers:
                caller.join()
        assert not client.is_live()
    assert {type(error) for error in failures} == {NotReadyError}, failures[:3]
    project.engine("start", name)
    with production(project, promoted) as client:
        answers.append(client.predict(promoted, IMAGES).probabilities)
    assert all(np.array_equal(answer, before) for answer in answers)


def test_a_training_out_of_memory_fails_with_its_reason(project: Project, fingerprint: str) -> None:
    """A trainer of its own, with too little memory for PyTorch's worker."""
    limit = ("--memory", "192m", "--memory-swap", "192m")
    environment = ("--env", "BAKEOFF_TRAINER_INSECURE=true", "--env", "BAKEOFF_TRAINER_ALLOW_ANONYMOUS=true")
    environment += ("--env", "BAKEOFF_TRAINER_THREADS=1")
    mounts = ("--volume", f"{project.name}_store:/data", "--volume", "/runs", "--volume", "/cache")
    network = ("--network", f"{project.name}_default", "--read-only", "--tmpfs", "/tmp")
    name = f"{project.name}-starved"
    image = f"bakeoff/trainer-pytorch:{project.tag}"
    project.engine("run", "--detach", "--name", name, *limit, *environment, *mounts, *network, image)
    try:
        target = f"{project.address(name)}:7101"
        wait_for(lambda: is_serving(target), "the starved trainer")
        with TrainerClient(target) as client:
            client.create("starved", training(fingerprint, 1))
            run = client.finish("starved", lambda event: None)
        assert run.state == run_pb2.RUN_STATE_FAILED
        assert run.error.startswith("out of memory: the limit here is 192 MiB; 3 attempts without progress")
    finally:
        project.engine("rm", "--force", "--volumes", name)


HOLDS = """
import sys
from core.contention import TimedSection
with TimedSection() as timed:
    print("in", flush=True)
    sys.stdin.readline()
print(timed.contended)
"""


def test_timed_work_in_two_containers_knows_of_each_other(project: Project) -> None:
    first, second = (project.container(service) for service in ("trainer-pytorch", "trainer-keras"))
    command = ["docker", "exec", "--interactive", first, "python", "-c", HOLDS]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=project.engine.environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        assert project.engine("exec", second, "python", "-c", HOLDS).split() == ["in", "True"]
        assert holder.communicate("\n", timeout=60)[0] == "True\n"
    assert project.engine("exec", second, "python", "-c", HOLDS).split() == ["in", "False"]


def test_a_new_container_of_a_server_finds_what_was_measured_in_the_old_one(project: Project, promoted: str) -> None:
    production(project, promoted).close()
    tune = ("python", "-m", "services.serving.tune", promoted, "--runtime", "onnxruntime", "--seconds", "1")
    tune += ("--repository", "/data/production", "--cache", "/cache")
    project.engine("exec", project.container("production"), *tune)
    project.compose("rm", "--stop", "--force", "--volumes", "production")
    project.compose("up", "--detach", "--no-build", "--pull", "never", "--wait", "production")
    production(project, promoted).close()
    log = project.engine.run("logs", project.container("production"))
    assert f"model {promoted} version 1" in log.stderr + log.stdout
    assert ", tuned" in log.stderr + log.stdout


BALANCED = {**json.loads(service_config(attempts=4)), "healthCheckConfig": {"serviceName": ""}}
"""The client's own configuration, and it leaves a replica that says NOT_SERVING."""


def test_stopping_a_server_under_load_fails_no_request(project: Project, promoted: str) -> None:
    """Two replicas, clients that balance over both; one is stopped as an upgrade does it.

    The client as it comes repeats what a server that leaves did not do; one that heeds NOT_SERVING leaves before.
    """
    production(project, promoted).close()
    project.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "production=2", "production")
    names = [project.container("production", index) for index in (1, 2)]
    target = "ipv4:" + ",".join(f"{project.address(name)}:7111" for name in names)
    heeding = (("grpc.service_config", json.dumps(BALANCED)),)
    clients = [InferenceClient(target, timeout_s=20, options=options) for options in ((), heeding)]
    answered, failed, done = [0] * 4, list[tuple[int, str]](), threading.Event()

    def call(number: int) -> None:
        while not done.is_set():
            try:
                clients[number % 2].predict(promoted, IMAGES)
                answered[number] += 1
            except BakeoffError as error:
                failed.append((number % 2, str(error)))

    callers = [threading.Thread(target=call, args=(number,)) for number in range(len(answered))]
    for name in names:
        with InferenceClient(f"{project.address(name)}:7111") as one:
            wait_for(lambda one=one: one.model_ready(promoted), "both replicas")  # type: ignore[misc]
    for caller in callers:
        caller.start()
    try:
        wait_for(lambda: failed or min(answered) > 0, "an answer for every caller")
        with InferenceClient(f"{project.address(names[1])}:7111") as leaving:
            wait_for(lambda: failed or leaving.model_statistics(promoted).requests > 0, "requests to both replicas")
        project.engine("stop", "--time", "30", names[1])
        before = list(answered)
        wait_for(
            lambda: failed or all(after > earlier for after, earlier in zip(answered, before, strict=True)),
            "an answer for every caller after the stop",
        )
    finally:
        done.set()
        for caller in callers:
            caller.join()
        for client in clients:
            client.close()
    assert not failed
    assert project.engine.inspect(names[1])["State"]["ExitCode"] == 0


def test_volumes_come_back_from_a_backup_as_the_page_says(project: Project, promoted: str, tmp_path: Path) -> None:
    """Everything is lost; then reports, models and production are as before, and an experiment goes on from there."""
    save, restore = documented(project)
    asked = (("report", "digits", "--format", "json"), ("models", "--format", "json"))
    asked += (("models", "--production", "--format", "json"),)
    before = [project.bakeoff(*words) for words in asked]
    with production(project, promoted) as client:
        answer = client.predict(promoted, IMAGES).probabilities
    shell(project, save, tmp_path)
    project.run("--profile", "*", "down", "--timeout", "1")
    shell(project, restore, tmp_path)
    project.compose("up", "--detach", "--no-build", "--pull", "never", "--wait", *SERVICES)
    assert [project.bakeoff(*words) for words in asked] == before
    with production(project, promoted) as client:
        assert np.array_equal(client.predict(promoted, IMAGES).probabilities, answer)
    more = (*QUICK, "--set", "frameworks=[pytorch]", "--set", "seeds=[0, 1]")
    went_on = project.run("run", "--rm", "--no-TTY", "--no-deps", "cli", "run", "experiments/digits.yaml", *more)
    assert went_on.returncode == 0, went_on.stdout + went_on.stderr
    trained = re.findall(r"train \S+ \S+ (s\d): ((?:already )?done)", went_on.stderr)
    assert trained == [("s0", "already done"), ("s1", "done")], went_on.stderr
    project.bakeoff("promote", "digits-matched-pytorch-s1-onnx", "--as", promoted)
    with InferenceClient(project.target("production", 7111), timeout_s=20) as client:
        wait_for(lambda: client.predict(promoted, IMAGES).model_version == "2", "the next version in production")
