"""bakeoff.trainer.v1 over gRPC, against a real trainer service and its workers."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from bakeoff.run.v1 import run_pb2
from bakeoff.trainer.v1 import trainer_service_pb2, trainer_service_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from core.errors import AlreadyExistsError, DivergedError, InvalidInputError, NotFoundError, WrongStateError
from core.schemas.data import DigitsSource, FolderSource, ImageSpec
from core.schemas.recipe import Adam, AdamW, Frozen, Pretrained, Recipe
from core.schemas.results import FindRateResult
from core.schemas.schedule import EarlyStopping, Plateau
from core.schemas.specs import FindRateSpec
from services.client.control import TrainerClient, raise_unless_succeeded
from tests.system.trainer_process import ROOT, prepare, trainer, training
from trainer.architectures import get_architecture
from trainer.pretrained import torchvision_names

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trainer")


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TrainerClient]:
    with trainer(home) as found:
        yield found


@pytest.fixture(scope="module")
def fingerprint(client: TrainerClient) -> str:
    """Prepared digits."""
    run = prepare(client, "digits", DigitsSource(), ImageSpec(height=8, width=8, color="grey"))
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED, run.error
    return str(json.loads(run.result_json)["fingerprint"])


def test_the_service_says_what_it_can_do(client: TrainerClient) -> None:
    found = client.capabilities()
    assert (found.framework, list(found.formats)) == ("pytorch", ["pt2", "onnx"])
    assert found.versions["torch"].startswith("2.")


def test_reflection_names_the_service(client: TrainerClient) -> None:
    with grpc.insecure_channel(client.target) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        names = {s.name for r in stub.ServerReflectionInfo(iter([request])) for s in r.list_services_response.service}
    assert {"bakeoff.trainer.v1.TrainerService", "grpc.health.v1.Health"} <= names


def test_preparing_the_same_data_again_gives_the_same_fingerprint(client: TrainerClient, fingerprint: str) -> None:
    run = prepare(client, "digits-again", DigitsSource(), ImageSpec(height=8, width=8, color="grey"))
    assert json.loads(run.result_json)["fingerprint"] == fingerprint


def test_a_training_publishes_a_model_and_can_be_watched_from_any_event(
    client: TrainerClient, fingerprint: str, home: Path
) -> None:
    client.create("train", training(fingerprint))
    events = list(client.watch("train"))
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert events[-1].state_change.state == run_pb2.RUN_STATE_SUCCEEDED
    assert list(client.watch("train", after=events[-3].number)) == events[-2:]
    result = json.loads(client.get("train").result_json)
    assert [model["name"] for model in result["models"]] == ["service-matched-pytorch-s0-onnx"]
    assert len(result["history"]) == 2
    assert (home / "models/service-matched-pytorch-s0-onnx/1/artifact.json").is_file()


def test_the_same_id_with_another_spec_already_exists(client: TrainerClient, fingerprint: str) -> None:
    client.create("same", training(fingerprint))
    client.finish("same", lambda event: None)
    assert client.create("same", training(fingerprint)).state == run_pb2.RUN_STATE_SUCCEEDED
    with pytest.raises(AlreadyExistsError, match="'same' exists with another spec"):
        client.create("same", training(fingerprint, seed=1))


def test_what_cannot_run_is_refused_before_it_starts(client: TrainerClient, fingerprint: str) -> None:
    for changes, kind, message in (
        ({"data": "0" * 64}, WrongStateError, "run its prepare step first"),
        ({"framework": "keras"}, InvalidInputError, "this service trains with pytorch, not keras"),
        ({"formats": ("savedmodel",)}, InvalidInputError, "pytorch does not export savedmodel; it exports pt2, onnx"),
        ({"architecture": "lenet"}, NotFoundError, "unknown architecture 'lenet'; known: mlp"),
        ({"architecture": "cnn5"}, InvalidInputError, "does not fit its input"),
    ):
        with pytest.raises(kind, match=message):
            client.create("refused", training(fingerprint, **changes))
        with pytest.raises(kind, match=message):
            client.check(training(fingerprint, **changes))
    with pytest.raises(NotFoundError):
        client.get("refused")


def test_a_check_starts_nothing(client: TrainerClient, fingerprint: str) -> None:
    before = client.list()
    client.check(training(fingerprint, epochs=3))
    assert client.list() == before


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="here is a GPU")
def test_a_service_that_is_to_use_a_gpu_that_is_not_there_does_not_start(tmp_path: Path) -> None:
    places = {name: str(tmp_path / name) for name in ("runs", "cache", "store", "repository")}
    flags = [part for name, folder in places.items() for part in (f"--{name}", folder)]
    command = [sys.executable, "-m", "services.trainer", "--framework", "pytorch", "--device", "cuda", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "trainer-pytorch cannot start: pytorch finds no CUDA GPU here" in done.stderr


def test_weights_that_do_not_fit_are_refused_before_a_training_starts(
    client: TrainerClient, fingerprint: str, tmp_path: Path
) -> None:
    whole, cut, wrong = (tmp_path / f"{name}.pth" for name in ("whole", "cut", "wrong"))
    torch_save = "import sys, torch; torch.save({'conv1.weight': torch.zeros(3)}, sys.argv[1])"
    subprocess.run([sys.executable, "-c", torch_save, str(wrong)], check=True, timeout=60)
    cut.write_bytes(wrong.read_bytes()[:200])
    for weights, kind, message in (
        (str(whole), NotFoundError, f"weights unavailable: no file {whole}"),
        (str(cut), InvalidInputError, f"{cut} is not a whole file of weights"),
        (str(wrong), InvalidInputError, f"{wrong} does not hold resnet18: it lacks 'bn1.bias'"),
    ):
        recipe = Recipe(mode="matched", epochs=1, batch_size=32, pretrained=Pretrained(weights=weights))
        with pytest.raises(kind, match=message):
            client.create("refused", training(fingerprint, architecture="resnet18", recipe=recipe))


def test_a_spec_that_is_no_spec_is_an_invalid_argument(client: TrainerClient) -> None:
    with grpc.insecure_channel(client.target) as channel:
        stub = trainer_service_pb2_grpc.TrainerServiceStub(channel)
        for text in ("", "{", "[]", '{"kind": "train"}', '{"kind": "dance"}'):
            with pytest.raises(grpc.RpcError) as raised:
                stub.CreateRun(trainer_service_pb2.CreateRunRequest(id="x", spec_json=text))
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "trainer spec is not valid" in raised.value.details()


def test_a_training_that_diverges_fails_with_step_and_loss(client: TrainerClient, fingerprint: str) -> None:
    recipe = Recipe(mode="matched", epochs=3, batch_size=32, optimizer=Adam(learning_rate=1e30))
    client.create("diverges", training(fingerprint, recipe=recipe))
    run = client.finish("diverges", lambda event: None)
    assert run.state == run_pb2.RUN_STATE_FAILED
    assert "training diverged: loss nan" in run.error or "training diverged: loss inf" in run.error
    assert "lower recipe.optimizer.learning_rate (now 1e+30)" in run.error
    with pytest.raises(DivergedError):
        raise_unless_succeeded(run)


def test_a_class_weight_for_an_unknown_class_is_refused_before_it_starts(
    client: TrainerClient, fingerprint: str
) -> None:
    recipe = Recipe(mode="matched", epochs=1, class_weights={"eleven": 2.0})
    with pytest.raises(InvalidInputError, match="class_weights names 'eleven'; the classes are 0, 1, 2"):
        client.create("refused", training(fingerprint, recipe=recipe))


def test_a_training_stops_early_and_exports_its_best_epoch(client: TrainerClient, fingerprint: str, home: Path) -> None:
    recipe = Recipe(
        mode="matched",
        epochs=200,
        batch_size=32,
        optimizer=Adam(learning_rate=0.03),
        early_stopping=EarlyStopping(patience=4),
        keep_best="validation_loss",
    )
    client.create("early", training(fingerprint, arm="early", recipe=recipe))
    run = client.finish("early", lambda event: None)
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED, run.error
    history = json.loads(run.result_json)["history"]
    best = min(history, key=lambda epoch: epoch["validation_loss"])
    assert len(history) == best["epoch"] + 4 < 200
    artifact = json.loads((home / "models/service-early-pytorch-s0-onnx/1/artifact.json").read_text())
    assert artifact["metrics"] == best


def test_a_new_head_learns_on_frozen_pretrained_layers(client: TrainerClient, home: Path, tmp_path: Path) -> None:
    image = ImageSpec(height=16, width=16, color="rgb")
    prepared = prepare(client, "coloured", DigitsSource(), image)
    assert prepared.state == run_pb2.RUN_STATE_SUCCEEDED, prepared.error
    tensors = random_resnet18()
    save_file(tensors, tmp_path / "resnet18.safetensors")
    recipe = Recipe(
        mode="matched",
        epochs=1,
        batch_size=128,
        pretrained=Pretrained(weights=str(tmp_path / "resnet18.safetensors")),
        freeze=(Frozen(until="head", epochs=1),),
        keep_best="train_loss",
    )
    data = json.loads(prepared.result_json)["fingerprint"]
    client.create("head", training(data, arm="head", architecture="resnet18", recipe=recipe))
    run = client.finish("head", lambda event: None)
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED, run.error
    with np.load(home / "runs/head/checkpoints/checkpoint.npz") as kept:
        first, moving = kept["best/conv1/kernel"], kept["best/batchnorm1/moving_mean"]
        head, bias = kept["best/dense1/kernel"], kept["best/dense1/bias"]
    assert np.array_equal(first, tensors["conv1.weight"].transpose(2, 3, 1, 0))
    assert np.array_equal(moving, tensors["bn1.running_mean"])
    assert head.shape == (512, 10)
    assert bias.any()


def random_resnet18() -> dict[str, NDArray[np.float32]]:
    """A file of torchvision's with random weights, statistics in the range of trained ones."""
    network = get_architecture("resnet18")
    draw, found = np.random.default_rng(0), {}
    for key, name in torchvision_names(network).items():
        shape = network.parameters[key].shape
        shape = (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape[::-1]
        positive = key.endswith(("gamma", "moving_variance"))
        spread = (2.0 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
        found[name] = (draw.uniform(0.5, 1.5, shape) if positive else draw.normal(0, spread, shape)).astype(np.float32)
    return found


def test_a_learning_rate_is_found_and_kept_in_the_store(client: TrainerClient, fingerprint: str, home: Path) -> None:
    recipe = Recipe(mode="matched", epochs=1, batch_size=32)
    spec = FindRateSpec(framework="pytorch", seed=0, architecture="digits-cnn", data=fingerprint, recipe=recipe)
    client.create("search", spec)
    run = client.finish("search", lambda event: None)
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED, run.error
    found = FindRateResult.model_validate_json((home / "store/results/search/result.json").read_bytes())
    assert len(found.rates) == len(found.losses) == len(found.smoothed)
    assert found.rates[0] == pytest.approx(1e-7)
    assert 1e-6 < found.valley < 1.0
    assert 1e-6 < found.steep < 1.0
    assert min(found.smoothed) < found.smoothed[0]


def test_cancel_stops_a_training_within_two_seconds(client: TrainerClient, fingerprint: str) -> None:
    client.create("long", training(fingerprint, epochs=10_000))
    for event in client.watch("long"):
        if event.progress.phase == "train":
            break
    start = time.monotonic()
    run = client.cancel("long")
    assert time.monotonic() - start < 2.0
    assert run.state == run_pb2.RUN_STATE_CANCELLED


def test_a_source_that_is_not_there_is_named(client: TrainerClient, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=str(tmp_path / "nowhere")):
        client.inspect(FolderSource(path=str(tmp_path / "nowhere")))


def test_a_corrupt_image_is_named_or_skipped_and_listed(client: TrainerClient, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(12):
            pixels = np.full((10, 10, 3), index * 20, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    broken = tmp_path / "dog" / "3.png"
    broken.write_bytes(broken.read_bytes()[:40])
    source, image = FolderSource(path=str(tmp_path)), ImageSpec(height=8, width=8)
    failed = prepare(client, "corrupt", source, image)
    assert failed.state == run_pb2.RUN_STATE_FAILED
    assert "dog/3.png" in failed.error
    skipped = prepare(client, "skipped", source, image, skip=True)
    assert skipped.state == run_pb2.RUN_STATE_SUCCEEDED, skipped.error
    assert "dog/3.png" in json.loads(skipped.result_json)["skipped"][0]


@pytest.mark.timeout(600)
def test_a_service_killed_in_the_middle_resumes_and_ends_with_the_same_weights(tmp_path: Path) -> None:
    # Everything that has a memory: moments, stages, a plateau, the best epoch, and a stop that depends on all epochs.
    recipe = Recipe(
        mode="matched",
        epochs=100,
        batch_size=32,
        optimizer=AdamW(),
        schedule=Plateau(patience=20, factor=0.5),
        freeze=(Frozen(until="head", epochs=5),),
        early_stopping=EarlyStopping(patience=200),
        keep_best="validation_accuracy",
        class_weights="balanced",
        label_smoothing=0.1,
        sampler="weighted",
    )
    with trainer(tmp_path) as first:
        run = prepare(first, "digits", DigitsSource(), ImageSpec(height=8, width=8, color="grey"))
        data = json.loads(run.result_json)["fingerprint"]
        first.create("whole", training(data, arm="whole", recipe=recipe))
        assert first.finish("whole", lambda event: None).state == run_pb2.RUN_STATE_SUCCEEDED
        first.create("parts", training(data, arm="parts", recipe=recipe))
        checkpoint = tmp_path / "runs/parts/checkpoints/checkpoint.npz"
        deadline = time.monotonic() + 120
        while not checkpoint.is_file():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    with trainer(tmp_path) as second:
        run = second.finish("parts", lambda event: None)
        assert run.state == run_pb2.RUN_STATE_SUCCEEDED, run.error
        assert run.attempts == 2
    whole, parts = (np.load(tmp_path / f"runs/{name}/checkpoints/checkpoint.npz") for name in ("whole", "parts"))
    kept = [key for key in whole.files if key.startswith(("state/", "best/"))]
    assert {key.split("/")[0] for key in kept} == {"state", "best"}
    for key in kept:
        assert np.array_equal(whole[key], parts[key]), key
