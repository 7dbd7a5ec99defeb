"""What only the torch family promises, in a process of its own: `python -m tests.contract.torch_probe PROGRAM FOLDER`.

PROGRAM is an exported `.pt2`; prints one JSON object.
"""

import inspect
import io
import json
import sys
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from core.errors import InvalidInputError
from core.runtimes import load
from core.schemas.data import ImageSpec
from core.schemas.recipe import Recipe, complete
from tests.contract import networks
from tests.contract import training_cases as cases
from tests.contract.recorder import Recorder
from trainer.architectures import get_architecture
from trainer.framework import TrainingData, get_framework
from trainer.frameworks._torchvision import import_torchvision
from trainer.originals import Originals
from trainer.phases import Phase, phases

SAMPLES = "exported_program/data/sample_inputs/model.pt"


class Intruder:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def tampered(program: Path, folder: Path) -> dict[str, object]:
    """Loads a copy whose sample inputs run code when unpickled."""
    import torch

    path, mark = folder / "tampered.pt2", folder / "code-ran"
    buffer = io.BytesIO()
    torch.save(((Intruder(mark),), {}), buffer)
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for item in source.infolist():
            content = buffer.getvalue() if item.filename == SAMPLES else source.read(item)
            target.writestr(item.filename, content)
    try:
        load("pt2", path, 1)
    except InvalidInputError as error:
        return {"refused": str(error), "ran": mark.exists()}
    return {"refused": "", "ran": mark.exists()}


def exported_learner(folder: Path) -> dict[str, object]:
    """Probabilities and classes of `learner.pkl`, loaded as a fastai user does, of one image and of many."""
    from fastai.learner import load_learner

    framework, architecture = get_framework("fastai"), networks.CASES["digits-cnn"]
    model = framework.build(
        architecture, networks.weights(architecture), networks.settings(architecture, networks.matched())
    )
    model.classes = tuple("9876543210")
    images = np.array(networks.images(architecture, 5, "predict").images)
    framework.extras(model, folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "load_learner` uses Python's insecure pickle", UserWarning)
        learner = load_learner(folder / "learner.pkl")
    expected = framework.predict(model, images)
    with learner.no_bar():
        probabilities, _ = learner.get_preds(dl=learner.dls.test_dl(list(images)))
        answers = [learner.predict(image) for image in images]
    single = np.stack([one.numpy() for _, _, one in answers])
    return {
        "gap": float(max(np.abs(found - expected).max() for found in (probabilities.numpy(), single))),
        "classes": list(learner.dls.vocab),
        "predicted": [str(name) for name, _, _ in answers],
        "expected": [model.classes[index] for index in expected.argmax(axis=1)],
    }


def imports() -> str:
    """fastai.vision imports after torchvision came through the shim."""
    import_torchvision()
    import fastai.vision.all

    return str(fastai.vision.all.resnet18.__module__)


def defaults() -> dict[str, object]:
    """fastai's figures as its signatures have them, and ours."""
    from fastai.learner import Learner

    from trainer.frameworks import _fastai_phases as ours

    tuned = inspect.signature(Learner.fine_tune).parameters
    return {
        "fastai": {name: tuned[name].default for name in ("base_lr", "pct_start", "div")},
        "ours": {"base_lr": ours.FINE_TUNE_RATE, **ours.THAWED_CYCLE},
    }


def canonical_numbers() -> dict[str, Any]:
    """What the canonical Adam of a fastai training has where its numbers are left open, and where two are named."""
    from trainer.frameworks.fastai import _wrap

    found = {}
    for name, numbers in (("open", {}), ("named", {"beta_2": 0.95, "epsilon": 1e-7})):
        recipe = cases.recipe("idiomatic", 1, {"arithmetic": "shared", "optimizer": {"name": "adam", **numbers}})
        model = get_framework("fastai").build(cases.NETWORK, None, networks.settings(cases.NETWORK, recipe))
        group = _wrap(model, recipe, Phase(1, 1), None, 0.1).opt.param_groups[0]
        found[name] = {key: group[key] for key in ("lr", "betas", "eps")}
    return found


def cycles() -> dict[str, dict[str, list[list[float]]]]:
    """Rate and momentum of the head in every step of trainings without a schedule, with either arithmetic."""
    from fastai.callback.core import Callback
    from fastcore.basics import defaults as shared

    seen: list[list[float]] = []

    class Seen(Callback):  # type: ignore[misc]
        order = 70  # after ParamScheduler

        def before_batch(self) -> None:
            if self.training:
                seen.append([self.opt.hypers[-1][name] for name in ("lr", "mom")])

    network = cases.NETWORK
    found: dict[str, dict[str, list[list[float]]]] = {}
    split = networks.images(network, cases.SHORT, "train")
    data = TrainingData(split, split, tuple(f"class {index}" for index in range(network.classes)))
    shared.callbacks.append(Seen)
    for name, keys in cases.CYCLES.items():
        found[name] = {}
        for arithmetic in ("framework", "shared"):
            recipe = cases.recipe("idiomatic", cases.EPOCHS, {"arithmetic": arithmetic, **keys})
            model = get_framework("fastai").build(network, None, networks.settings(network, recipe))
            get_framework("fastai").fit(model, data, recipe, Recorder())
            found[name][arithmetic], seen[:] = [*seen], []
    shared.callbacks.remove(Seen)
    return found


def rates(schedule: dict[str, Any], epochs: int, steps: int) -> list[list[float]]:
    """What torch's own class makes of two groups' rates, 1 and 0.01, before every epoch, or every step of a cycle."""
    import torch

    from trainer.frameworks._torch_optimizers import OwnRates

    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in (1.0, 0.01)]
    optimizer = torch.optim.SGD(groups)
    recipe = Recipe.model_validate(
        complete("idiomatic", {"epochs": epochs, "optimizer": {"name": "sgd", "momentum": 0.9}, "schedule": schedule})
    )
    own = OwnRates(optimizer, recipe, Phase(1, epochs), steps)
    found = []
    for _ in range(epochs * steps):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        own._scheduler.step()
    own.restore(own.state())
    return found


def stage_rates(discriminative: float) -> list[list[float]]:
    """What fastai's optimiser has for its three groups in each stage of an unfreezing, of a rate of 0.01."""
    import torch
    from fastai.optimizer import SGD

    from trainer.frameworks._fastai_phases import PhaseRun, frozen_groups

    optimizer = SGD([[torch.zeros(1, requires_grad=True)] for _ in range(3)], lr=0.5)
    recipe = cases.recipe("idiomatic", 5, {"freeze": cases.FREEZE, "discriminative": discriminative})
    found = []
    for phase in phases(recipe, cases.NETWORK):
        optimizer.freeze_to(frozen_groups(cases.NETWORK, recipe, phase))
        learner = SimpleNamespace(lr=0.01, opt=optimizer)
        optimizer.set_hyper("lr", PhaseRun(learner, cases.NETWORK, recipe, phase, 0, None)._rates())
        found.append([hyper["lr"] for hyper in optimizer.hypers])
    return found


def resnet_groups() -> dict[str, list[int]]:
    """How many groups of a ResNet-34 have rates of their own, and the parameters of the two before the head's."""
    kind = import_torchvision().models.resnet34
    import torch
    from fastai.vision.learner import create_body, model_meta

    from trainer.frameworks._fastai_phases import frozen_groups, split_groups

    architecture = get_architecture("resnet34", (64, 64, 3), 29)
    recipe = cases.recipe("idiomatic", 2, {"freeze": {"until": "head", "epochs": 1}, "discriminative": 100})
    model = get_framework("fastai").build(architecture, None, networks.settings(architecture, recipe))
    body = create_body(kind(), pretrained=False, cut=model_meta[kind]["cut"])
    split = {
        "fastai": model_meta[kind]["split"](torch.nn.Sequential(body, torch.nn.Linear(1, 1))),
        "ours": split_groups(architecture, recipe, model.network),
    }
    found = {
        name: [len(groups), *(sum(one.numel() for one in group) for group in groups[:2])]
        for name, groups in split.items()
    }
    return found | {"frozen": [frozen_groups(architecture, recipe, phase) for phase in phases(recipe, architecture)]}


def restored_device() -> str:
    """Where fastai's optimiser has its moments after a checkpoint, which is read to the CPU, for a model elsewhere."""
    import torch
    from fastai.optimizer import Adam

    from trainer.frameworks.fastai import _restore

    device = torch.device("meta")
    optimizer = Adam([torch.zeros(2, device=device, requires_grad=True)], lr=0.1)
    learner = SimpleNamespace(opt=optimizer, dls=SimpleNamespace(device=device))
    _restore(learner, {"optimizer": [{"grad_avg": torch.zeros(2), "step": 3}]})
    (state,) = optimizer.state.values()
    return f"{state['grad_avg'].device}, step {state['step']}"


def far_below_zero(folder: Path) -> float:
    """Largest gap between network and ONNX where every logit of a normalised sigmoid head is far below zero."""
    framework, architecture = get_framework("pytorch"), networks.CASES["asl-cnn"]
    weights = dict(networks.weights(architecture))
    last = list(weights)[-1]
    weights[last] = np.linspace(-130, -90, weights[last].size).astype(weights[last].dtype)
    model = framework.build(architecture, weights, networks.settings(architecture, networks.matched()))
    images = networks.images(architecture, 5, "predict").images
    framework.export(model, "onnx", folder)
    gaps = np.abs(load("onnx", folder / "model.onnx", 1)(images) - framework.predict(model, images))
    return float(gaps.max())


def memory(mode: str, name: str) -> list[bool]:
    """Whether a mode's first convolution has its input and its kernel in torch's default memory, in channels last."""
    import torch

    architecture = networks.CASES[name]
    recipe = Recipe.model_validate(complete(mode, {"epochs": 1}))
    model = get_framework("pytorch").build(architecture, None, networks.settings(architecture, recipe))
    convolution = next(one for one in model.network.modules() if isinstance(one, torch.nn.Conv2d))
    seen: list[torch.Tensor] = [convolution.weight]
    convolution.register_forward_hook(lambda _module, inputs, _output: seen.extend(inputs))
    model.network(torch.from_numpy(np.array(networks.images(architecture, 2, "memory").images)))
    formats = (torch.contiguous_format, torch.channels_last)
    return [all(one.is_contiguous(memory_format=each) for one in seen) for each in formats]


def exported_graph(mode: str, folder: Path) -> list[str]:
    """Operators of the ONNX file of a network built for a mode."""
    import onnx

    architecture = networks.CASES["mnist-cnn"]
    recipe = Recipe.model_validate(complete(mode, {"epochs": 1}))
    framework = get_framework("pytorch")
    framework.export(framework.build(architecture, None, networks.settings(architecture, recipe)), "onnx", folder)
    return [node.op_type for node in onnx.load(folder / "model.onnx").graph.node]


def workers(folder: Path) -> dict[str, int | str]:
    """Processes that decode where two are the default: of files, of files in batches larger than any memory, of arrays;
    and where the recipe names a number."""
    from core.errors import WrongStateError
    from trainer.frameworks._fastai_vision import own_workers
    from trainer.frameworks._torch_workers import decoding_workers

    originals = Originals(np.zeros(1, np.int64), ImageSpec(height=64, width=64), 2, folder)
    own = Recipe.model_validate(complete("idiomatic", {"epochs": 1, "batch_size": 64}))
    large = own.model_copy(update={"batch_size": 1_000_000_000})
    try:
        refused = str(decoding_workers(large.model_copy(update={"workers": 1}), originals, default=2))
    except WrongStateError as error:
        refused = str(error)
    return {
        "files": decoding_workers(own, originals, default=2),
        "crowded": decoding_workers(large, originals, default=2),
        "arrays": decoding_workers(own, None, default=2),
        "many": decoding_workers(own.model_copy(update={"batch_size": 1}), originals, default=own_workers(64)),
        "named": decoding_workers(own.model_copy(update={"workers": 1}), originals, default=2),
        "none": decoding_workers(large.model_copy(update={"workers": 0}), originals, default=2),
        "refused": refused,
    }


if __name__ == "__main__":
    where = Path(sys.argv[2])
    # The learner first: the pt2 runtime forbids unpickling to the whole process.
    found = {
        "learner": exported_learner(where),
        "tampered": tampered(Path(sys.argv[1]), where),
        "vision": imports(),
        "defaults": defaults(),
        "canonical": canonical_numbers(),
        "cycles": cycles(),
        "workers": workers(where),
        "cosine": rates({"name": "cosine", "final": 0.1}, epochs=4, steps=1),
        "one-cycle": rates({"name": "one-cycle", "first": 0.5, "final": 0.1}, epochs=1, steps=4),
        "stages": {ratio: stage_rates(ratio) for ratio in (1, 100)},
        "resnet": resnet_groups(),
        "restored": restored_device(),
        "memory": {
            f"{mode}/{name}": memory(mode, name) for mode in networks.MODES for name in ("cifar-cnn3", "residual")
        },
        "graphs": [exported_graph(mode, where) for mode in networks.MODES],
        "far below zero": far_below_zero(where),
    }
    print(json.dumps(found))
