"""The main job through running services: `bakeoff up`, `run`, `models`, `predict`, `report`, `down`."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from bakeoff.run.v1 import run_pb2
from PIL import Image
from playwright.sync_api import sync_playwright

from core.contention import CONTENDED, default_directory
from core.prepared import open_prepared
from core.schemas.specs import TrainSpec
from core.schemas.summary import Summary
from core.store import Store
from services.client.control import TrainerClient
from services.client.directory import Directory
from tests.system.bakeoff_command import QUICK, Bakeoff, overrides
from tests.system.browser import ARGUMENTS, CHROMIUM, Watch, scroll_through
from tests.system.containers import wait_for

pytestmark = pytest.mark.system
DIGITS = "experiments/digits.yaml"
# Both arms through all four frameworks; fewer epochs than the demo, for the time.
WHOLE = (
    DIGITS,
    *overrides(*QUICK, "arms.idiomatic.recipe.epochs=4", "arms.idiomatic.recipe.augmentation={rotate: 5}"),
)
ONE = (DIGITS, *overrides(*QUICK, "frameworks=[pytorch]", "formats={pytorch: [onnx]}", "loadtest=null"))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakeoff]:
    """All services on another loopback address than the default."""
    bakeoff = Bakeoff(tmp_path_factory.mktemp("elsewhere") / "home", host="127.0.0.2", tracking="on")
    up = bakeoff.run("up", "--base-port", "0")
    assert up.code == 0, up.err
    yield bakeoff
    down = bakeoff.run("down")
    assert down.code == 0, down.err
    assert bakeoff.processes() == []


@pytest.fixture(scope="module")
def summary(elsewhere: Bakeoff) -> Summary:
    """The whole experiment, run once."""
    ended = elsewhere.run("run", *WHOLE)
    assert ended.code == 0, ended.out + ended.err
    return Summary.model_validate_json((elsewhere.home / "reports/digits/summary.json").read_bytes())


def test_every_service_says_where_it_is(elsewhere: Bakeoff) -> None:
    rows = elsewhere.json("status")
    assert len(rows) == 8
    assert {row["state"] for row in rows} == {"serving"}
    assert all(re.fullmatch(r"127\.0\.0\.2:\d+", row["grpc"]) for row in rows)


def test_the_verdict_has_every_framework_format_and_runtime(summary: Summary) -> None:
    rows = {(row.arm, row.framework, row.format, row.runtime) for row in summary.rows}
    served = {
        "keras": {("keras", "tensorflow"), ("savedmodel", "tensorflow"), ("onnx", "onnxruntime")},
        "tensorflow": {("savedmodel", "tensorflow"), ("onnx", "onnxruntime")},
        "pytorch": {("pt2", "pytorch"), ("onnx", "onnxruntime")},
        "fastai": {("pt2", "pytorch"), ("onnx", "onnxruntime")},
    }
    expected = {(arm, fw, *pair) for arm in ("matched", "idiomatic") for fw, pairs in served.items() for pair in pairs}
    assert rows == expected
    assert summary.complete


def test_what_is_served_is_what_was_trained(summary: Summary) -> None:
    for row in summary.rows:
        assert row.accuracy is not None
        assert row.export_parity.largest_difference < 1e-5, row.label
        if row.parity is not None:
            assert row.parity.largest_difference < 1e-4, row.label
            # A near-tie may fall on either side of a rounding difference.
            assert row.parity.disagreements <= 1, row.label


def test_matched_frameworks_learn_the_same(summary: Summary) -> None:
    accuracies = [row.accuracy for row in summary.rows if row.arm == "matched" and row.accuracy is not None]
    assert min(accuracies) > 0.85
    assert max(accuracies) - min(accuracies) < 0.02


def test_every_matched_artefact_was_load_tested_without_errors(summary: Summary) -> None:
    for row in summary.rows:
        assert (row.load is not None) == (row.arm == "matched")
        if row.load is not None:
            assert row.load.errors == {}
            assert row.load.throughput > 0
            assert row.load.latency_ms.p50 <= row.load.latency_ms.p99 <= row.load.latency_ms.max
            assert {"queue", "infer"} <= row.load.server_ms.keys()


TRACKED = """
import json, sys
from mlflow import MlflowClient

client = MlflowClient(sys.argv[1])
(experiment,) = [found for found in client.search_experiments() if found.name == "digits"]
for run in client.search_runs([experiment.experiment_id]):
    history = client.get_metric_history(run.info.run_id, "validation_accuracy")
    print(json.dumps({
        "arm": run.data.tags["arm"], "status": run.info.status, "framework": run.data.tags["framework"],
        "data": run.data.params["data_fingerprint"], "rotate": run.data.params["recipe.augmentation.rotate"],
        "steps": sorted(metric.step for metric in history), "metrics": run.data.metrics,
        "artifacts": sorted(file.path for file in client.list_artifacts(run.info.run_id, "models")),
    }))
"""


def test_mlflow_shows_the_trainings_of_all_frameworks_together(elsewhere: Bakeoff, summary: Summary) -> None:
    uri = f"sqlite:///{elsewhere.home / 'tracking' / 'mlflow.db'}"
    done = subprocess.run(
        [sys.executable, "-c", TRACKED, uri], capture_output=True, text=True, timeout=120, check=False
    )
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(runs) == 8, done.stderr
    assert {run["framework"] for run in runs} == {"keras", "tensorflow", "pytorch", "fastai"}
    assert summary.data is not None
    assert {(run["status"], run["data"]) for run in runs} == {("FINISHED", summary.data.fingerprint)}
    assert sorted(float(run["rotate"]) for run in runs) == [0.0] * 4 + [5.0] * 4
    accuracies = {(row.arm, row.framework): row.accuracy for row in summary.rows if row.format == "onnx"}
    for run in runs:
        assert run["steps"] == [1, 2, 3, 4]
        assert run["metrics"]["test.accuracy.onnx"] == accuracies[run["arm"], run["framework"]]
        assert len(run["artifacts"]) >= 2, run


def test_tensorboard_shows_curves_graph_and_varied_images_of_all_frameworks(
    elsewhere: Bakeoff, summary: Summary
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folders = sorted((elsewhere.home / "tensorboard" / "digits").iterdir())
    assert len(folders) == 8
    for folder in folders:
        reader = EventAccumulator(str(folder))
        reader.Reload()
        assert [event.step for event in reader.Scalars("loss/train")] == [1, 2, 3, 4], folder
        assert len(reader.Graph().node) > 3, folder
        pictures = reader.Images("augmented") if "augmented" in reader.Tags()["images"] else []
        assert bool(pictures) == folder.name.startswith("idiomatic"), folder


def test_started_again_nothing_is_repeated(elsewhere: Bakeoff, summary: Summary) -> None:
    models = elsewhere.json("models")
    ended = elsewhere.run("run", *WHOLE)
    assert ended.code == 0
    steps = [line for line in ended.err.splitlines() if re.search(r"(prepare|train|evaluate|loadtest|report) ", line)]
    assert [line for line in steps if ": done" in line] == []
    assert len([line for line in steps if "already done" in line]) == 1 + 8 + 18 + 9 + 1
    assert elsewhere.json("models") == models
    assert {model["version"] for model in models} == {1}


def test_predict_decodes_a_file_as_training_did(elsewhere: Bakeoff, summary: Summary, tmp_path: Path) -> None:
    assert summary.data is not None
    store = Store(str(elsewhere.home / "store"), tmp_path)
    test = open_prepared(store, summary.data.fingerprint).split("test")
    path = tmp_path / "digit.png"
    # A person's file: larger and in colour.
    Image.fromarray(np.asarray(test.images[0, :, :, 0])).resize((80, 80), Image.Resampling.NEAREST).convert("RGB").save(
        path
    )
    names = [f"digits-matched-{framework}-s0-onnx" for framework in ("keras", "fastai")]
    answers = [elsewhere.json("predict", "--model", name, str(path))[0]["probabilities"] for name in names]
    assert [max(answer, key=answer.get) for answer in answers] == [str(test.labels[0])] * 2


def test_evaluate_gives_the_stored_result_or_scores_through_another_runtime(
    elsewhere: Bakeoff, summary: Summary
) -> None:
    row = next(
        row for row in summary.rows if (row.model, row.runtime) == ("digits-matched-keras-s0-onnx", "onnxruntime")
    )
    shown = elsewhere.run("evaluate", row.model, "--format", "json")
    assert (shown.code, shown.err) == (0, ""), "nothing is started for a result that is there"
    stored, addresses = json.loads(shown.out), {row["service"]: row["grpc"] for row in elsewhere.json("status")}
    assert (stored["accuracy"], stored["spec"]["runtime"]) == (row.accuracy, "onnxruntime")
    scored = elsewhere.json("evaluate", row.model, "--runtime", "openvino", "--data", "digits")
    assert scored["run_id"] != stored["run_id"]
    # The evaluator had to learn where OpenVINO's server is; it is back at its address, without it.
    assert {row["service"]: row["grpc"] for row in elsewhere.json("status") if row["state"] == "serving"} == addresses
    assert scored["accuracy"] == pytest.approx(row.accuracy, abs=1.5 / scored["images"])  # A near-tie may fall over.
    table = elsewhere.run("evaluate", row.model)
    for words in (f"accuracy {row.accuracy:.2%} (", "Wilson", f"log loss {row.log_loss:.4f}", "predictions: "):
        assert words in table.out


def test_the_report_comes_in_every_form(elsewhere: Bakeoff, summary: Summary) -> None:
    assert json.loads(elsewhere.run("report", "digits", "--format", "json").out)["experiment"] == "digits"
    assert "| matched" in elsewhere.run("report", "digits", "--format", "md").out
    assert len(elsewhere.run("report", "digits", "--format", "csv").out.splitlines()) == 1 + len(summary.rows)
    assert Path(elsewhere.run("report", "digits").out.strip()).stat().st_size > 1_000_000


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed: apt-get install chromium")
def test_the_report_of_real_results_opens_without_a_complaint(elsewhere: Bakeoff, summary: Summary) -> None:
    watch = Watch()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        watch.on(page)
        page.goto((elsewhere.home / "reports/digits/report.html").as_uri())
        scroll_through(page)
        assert page.locator("#verdict-table tbody tr").count() == len(summary.rows)
        assert summary.verdict.headline in page.locator("body").inner_text()
        browser.close()
    assert watch.complaints == []
    assert [url for url in watch.requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("report", "none"), 3, "no report of 'none'; there are: digits"),
        (("run", "none.yaml"), 3, "no experiment file none.yaml"),
        (("run", DIGITS, "--set", "seeds=[]"), 2, ": seeds: Tuple should have at least 1 item"),
        (("predict", "--model", "none", "x.png"), 3, "no model 'none'"),
        (("predict", "--model", "digits-matched-keras-s0-onnx", "README.md"), 2, "README.md cannot be decoded"),
        (("architectures", "lenet"), 3, "unknown architecture 'lenet'; known: mlp, "),
        (("architectures", "cnn5", "--input", "8x8x1"), 2, "does not fit its input"),
        (
            ("run", DIGITS, "--set", "arms.matched.architecture=cnn5"),
            2,
            "experiments/digits.yaml:15: arms.matched.architecture: cnn5: pool4 (max pool 2×2) does not fit",
        ),
        (("run", DIGITS, "--set", "arms.matched.architecture=lenet"), 2, "digits.yaml:15: arms.matched.architecture"),
        (("up", "trainer-jax"), 2, "unknown services: trainer-jax; known: trainer-keras"),
    ],
)
def test_an_error_says_what_to_do_and_has_its_exit_code(
    elsewhere: Bakeoff, summary: Summary, arguments: tuple[str, ...], code: int, message: str
) -> None:
    ended = elsewhere.run(*arguments)
    assert ended.code == code, ended.err
    assert message in ended.err


def test_a_service_elsewhere_that_is_away_has_its_own_exit_code(
    elsewhere: Bakeoff, summary: Summary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "digit.png")
    with socket.socket() as bound:  # Bound and not listening: calls are refused, and nobody else gets the port.
        bound.bind(("127.0.0.1", 0))
        away = f"127.0.0.1:{bound.getsockname()[1]}"
        monkeypatch.setenv("BAKEOFF_ENDPOINT_SERVING_ONNXRUNTIME", away)
        ended = elsewhere.run("predict", "--model", "digits-matched-keras-s0-onnx", str(tmp_path / "digit.png"))
    assert ended.code == 4, ended.err
    assert away in ended.err


def test_a_server_has_no_framework_but_its_own(elsewhere: Bakeoff, summary: Summary) -> None:
    """After it has served models of every format it takes: what it loaded is mapped into its memory."""
    own = {"onnxruntime": {"onnxruntime"}, "tensorflow": {"libtensorflow"}, "pytorch": {"libtorch"}}
    for service in Directory(elsewhere.home).started():
        if runtime := next((name for name in own if service.name == f"serving-{name}"), None):
            mapped = Path(f"/proc/{service.pid}/maps").read_text()
            assert {library for libraries in own.values() for library in libraries if library in mapped} == own[runtime]


def test_cancel_stops_a_training_of_any_framework_within_two_seconds(elsewhere: Bakeoff, summary: Summary) -> None:
    assert summary.data is not None
    specs = {path.parent.parent.name: path for path in elsewhere.home.glob("runs/trainer-*/train-*/spec.json")}
    assert len(specs) == 4
    for service in Directory(elsewhere.home).started():
        if service.name not in specs:
            continue
        spec = json.loads(specs[service.name].read_text())
        spec["recipe"]["epochs"] = 10_000
        with TrainerClient(service.target) as client:
            client.create("endless", TrainSpec.model_validate(spec))
            next(event for event in client.watch("endless") if event.progress.phase == "train")
            start = time.monotonic()
            run = client.cancel("endless")
            assert time.monotonic() - start < 2.0, service.name
        assert run.state == run_pb2.RUN_STATE_CANCELLED
        assert not any("endless" in line for line in elsewhere.processes())


def test_the_layer_table_of_cnn5_counts_951489_parameters(elsewhere: Bakeoff, tmp_path: Path) -> None:
    ended = elsewhere.run("architectures", "cnn5", "--diagram", str(tmp_path / "cnn5.svg"))
    assert "951,489 parameters, 950,401 trainable, 1,088 not" in ended.out
    assert (tmp_path / "cnn5.svg").read_text().startswith("<svg")


def test_a_trainer_killed_in_the_middle_goes_on_after_its_restart(elsewhere: Bakeoff) -> None:
    directory = Directory(elsewhere.home)
    checkpoint = "runs/trainer-pytorch/*/checkpoints/checkpoint.npz"
    before = set(elsewhere.home.glob(checkpoint))
    process = elsewhere.start("run", *ONE, *overrides("name=killed", "arms.matched.recipe.epochs=120"))
    wait_for(lambda: set(elsewhere.home.glob(checkpoint)) - before, "a checkpoint")
    folder = next(iter(set(elsewhere.home.glob(checkpoint)) - before)).parents[1]
    trainer = next(service for service in directory.started() if service.name == "trainer-pytorch")
    os.kill(trainer.pid, signal.SIGKILL)
    wait_for(lambda: not any(folder.name in line for line in elsewhere.processes()), "the worker to end with it")
    try:
        port = trainer.target.rsplit(":", 1)[1]
        up = elsewhere.run("up", "trainer-pytorch", "--base-port", str(int(port) - 2))
        assert up.code == 0, up.err
        output, _ = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 0, output
    with TrainerClient(directory.target("trainer-pytorch")) as client:
        run = client.get(folder.name)
    assert run.attempts == 2
    assert len(json.loads(run.result_json)["history"]) == 120


def test_parallel_trainings_are_contended_and_stay_so_when_one_ends_alone(elsewhere: Bakeoff) -> None:
    """One is killed while both work and goes on after the other is done: its first epochs still do not compare."""
    arms = "arms={matched: {architecture: digits-cnn, recipe: {epochs: 100}}}"
    names = ("name=parallel", arms, "frameworks=[pytorch, keras]", "formats={pytorch: [onnx], keras: [onnx]}")
    process = elsewhere.start("run", DIGITS, "--parallel", "2", *overrides("seeds=[0]", "loadtest=null", *names))
    runs = {name: run_of(elsewhere.home, name, "parallel") for name in ("trainer-pytorch", "trainer-keras")}
    results = {name: elsewhere.home / f"store/results/{run.name}/result.json" for name, run in runs.items()}
    service = next(one for one in Directory(elsewhere.home).started() if one.name == "trainer-pytorch")
    try:
        wait_for((runs["trainer-pytorch"] / "checkpoints/checkpoint.npz").exists, "a checkpoint")
        below = psutil.Process(service.pid).children(recursive=True)
        (worker,) = (one for one in below if str(runs["trainer-pytorch"]) in " ".join(one.cmdline()))
        worker.suspend()  # However fast it is, it does not end before the other begins.
        wait_for(lambda: all(is_contended(elsewhere.home, run) for run in runs.values()), "both to be seen together")
        os.kill(service.pid, signal.SIGSTOP)
        worker.kill()
        wait_for(results["trainer-keras"].exists, "the other to end", 200)
        assert not results["trainer-pytorch"].exists()
        os.kill(service.pid, signal.SIGCONT)
        output, _ = process.communicate(timeout=200)
    finally:
        os.kill(service.pid, signal.SIGCONT)
        process.kill()
    assert process.returncode == 0, output
    found = {name: json.loads(path.read_text()) for name, path in results.items()}
    assert found["trainer-pytorch"]["attempts"] == 2
    assert all(result["environment"]["contended"] for result in found.values())


def is_contended(home: Path, run: Path) -> bool:
    """Whether a training knows, or will find where it has its lock, that it was not alone."""
    if not (run / "timed").is_file():
        return False
    told = (run / "timed").read_text()
    lock = home.parent / default_directory().name / told
    return told == CONTENDED or (lock.is_file() and lock.read_text() == CONTENDED)


def run_of(home: Path, service: str, experiment: str) -> Path:
    """Folder of the only training of an experiment on one service, once it is there."""
    spec = f"runs/{service}/train-*/spec.json"
    mine = f'"experiment":"{experiment}"'
    wait_for(lambda: any(mine in path.read_text() for path in home.glob(spec)), f"a run on {service}")
    (found,) = (path.parent for path in home.glob(spec) if mine in path.read_text())
    return found
