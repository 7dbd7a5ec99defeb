"""Drives a server with tritonclient and prints what it got as JSON. Run by an interpreter that lacks our code.

Arguments: target, scenario, and the path of an .npy file of images.
"""

import json
import queue
import sys

import numpy as np
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

MODEL = "linear"


def image_input(images, datatype="UINT8", name="image"):
    """The one input of every model."""
    given = grpcclient.InferInput(name, list(images.shape), datatype)
    given.set_data_from_numpy(images)
    return given


def describe(client, images):
    """Everything that can be asked about server and model."""
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": [client.is_model_ready(MODEL), client.is_model_ready(MODEL, "1"), client.is_model_ready("none")],
        "server": client.get_server_metadata(as_json=True),
        "metadata": client.get_model_metadata(MODEL, as_json=True),
        "config": client.get_model_config(MODEL, as_json=True)["config"],
    }


def infer(client, images):
    """One request in each form."""
    wanted = grpcclient.InferRequestedOutput("probabilities")
    best = grpcclient.InferRequestedOutput("probabilities", class_count=2)
    plain = client.infer(MODEL, [image_input(images)], request_id="seven")
    chosen = client.infer(MODEL, [image_input(images)], outputs=[wanted], model_version="1", timeout=10_000_000)
    labelled = client.infer(MODEL, [image_input(images)], outputs=[best])
    parameters = {key: value.int64_param for key, value in plain.get_response().parameters.items()}
    return {
        "id": plain.get_response().id,
        "version": plain.get_response().model_version,
        "parameters": parameters,
        "plain": plain.as_numpy("probabilities").tolist(),
        "chosen": chosen.as_numpy("probabilities").tolist(),
        "labelled": [[label.decode() for label in row] for row in labelled.as_numpy("probabilities").tolist()],
    }


def statistics(client, images):
    """Statistics after two requests."""
    for _ in range(2):
        client.infer(MODEL, [image_input(images)])
    return client.get_inference_statistics(MODEL, as_json=True)["model_stats"]


def errors(client, images):
    """Code and message of everything that must fail."""
    calls = {
        "unknown model": lambda: client.infer("none", [image_input(images)]),
        "unknown version": lambda: client.infer(MODEL, [image_input(images)], model_version="9"),
        "wrong datatype": lambda: client.infer(MODEL, [image_input(images.astype(np.float32), "FP32")]),
        "wrong shape": lambda: client.infer(MODEL, [image_input(images[:, 1:])]),
        "wrong input": lambda: client.infer(MODEL, [image_input(images, name="pixels")]),
        "wrong output": lambda: client.infer(
            MODEL, [image_input(images)], outputs=[grpcclient.InferRequestedOutput("logits")]
        ),
        "too many": lambda: client.infer(MODEL, [image_input(np.repeat(images, 65, axis=0))]),
        "load unknown": lambda: client.load_model("none"),
        "load with config": lambda: client.load_model(MODEL, config="{}"),
        "load with file": lambda: client.load_model(MODEL, config="{}", files={"file:1/model.onnx": b"x"}),
        "unload unknown": lambda: client.unload_model("none"),
        "shared memory": lambda: client.get_system_shared_memory_status(),
    }
    found = {}
    for name, call in calls.items():
        try:
            call()
        except InferenceServerException as error:
            found[name] = [error.status(), error.message()]
        else:
            found[name] = ["OK", ""]
    return found


def control(client, images):
    """Unload, look, load, look."""
    client.unload_model(MODEL)
    without = [client.is_model_ready(MODEL), client.get_model_repository_index(as_json=True)["models"]]
    client.load_model(MODEL)
    return without, [client.is_model_ready(MODEL), client.get_model_repository_index(as_json=True)["models"]]


def stream(client, images):
    """Ten requests on one stream, the fourth of them broken."""
    results = queue.Queue()
    client.start_stream(lambda result, error: results.put((result, error)))
    for number in range(10):
        given = images if number != 3 else images[:, 1:]
        client.async_stream_infer(MODEL, [image_input(given)], request_id=str(number))
    answers = []
    for _ in range(10):
        result, error = results.get(timeout=20)
        if error is not None:
            answers.append(["error", error.message()])
        else:
            answers.append([result.get_response().id, result.as_numpy("probabilities").tolist()])
    client.stop_stream()
    return answers


if __name__ == "__main__":
    target, scenario, path = sys.argv[1:]
    with grpcclient.InferenceServerClient(target) as connected:
        print(json.dumps(globals()[scenario](connected, np.load(path))))
