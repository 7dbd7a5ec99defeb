"""What a framework's own loader and augmentation make of original images."""

import inspect
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core import runtimes
from core.errors import InvalidInputError
from core.formats import get_format
from core.prepared import Split
from core.schemas.augmentation import Augmentation
from core.schemas.data import ImageSpec
from core.schemas.recipe import HAVE_WORKERS, Recipe, complete
from tests.contract import networks
from tests.contract.recorder import Recorder
from trainer import samples
from trainer.framework import Framework, TrainingData
from trainer.originals import Originals
from trainer.shared_memory import SHARED_MEMORY
from trainer.weights import Weights

ARCHITECTURE = networks.CASES["cifar-cnn3"]
IMAGES = 12
IMBALANCE = ((0, 200), (1, 20), (2, 20))
"""Class and images, for the weighted sampler."""
DEEP = (0, 300, 30_000, 65_535)
"""Values of pixels of 16 bits."""
KINDS = {".bmp": "BMP", ".gif": "GIF", ".jfif": "JPEG", ".webp": "WEBP"}
"""Name of a file to Pillow's name for what is in it; not every framework reads all of them."""
CHANGES = {
    "flip": Augmentation(flip=True),
    "flip_vertical": Augmentation(flip_vertical=True),
    "rotate": Augmentation(rotate=30),
    "zoom": Augmentation(zoom=0.3),
    "shift": Augmentation(shift=0.2),
    "crop": Augmentation(crop=3),
    "brightness": Augmentation(brightness=0.4),
}


def examine(framework: Framework, folder: Path, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
    """Adds what was found to `arrays` and `facts`."""
    data = _files(folder / "originals")
    images, _ = _first(framework, data, Augmentation())
    facts["own/decoded"] = _known(images, data.train)
    for name, change in CHANGES.items():
        for kind, given in (("files", data), ("arrays", _arrays(data))):
            varied, labels = _first(framework, given, change)
            facts[f"own/{name}/{kind}"] = {
                "known": _known(varied, data.train),
                "shape": list(varied.shape),
                "dtype": str(varied.dtype),
                "labels": sorted(Counter(labels.tolist()).items()),
                "brightness": float(varied.mean()),
            }
    for kind, given in (("files", data), ("arrays", _arrays(data))):
        facts[f"own/weighted/{kind}"] = _weighted(framework, given)
        facts[f"own/picture/{kind}"] = _picture(framework, given)
    facts["own/gap"] = _first(framework, _without_a_class(data, 1), Augmentation())[1].tolist()
    facts["own/batch"] = _default_batch(framework)
    facts["own/labels"] = sorted(Counter(data.train.labels.tolist()).items())
    facts["own/brightness"] = float(data.train.images.mean())
    facts["own/sizes"] = _sizes(framework, folder / "large")
    facts["own/kinds"] = _kinds(framework, folder / "kinds")
    facts["own/deep"] = _deep(framework, folder / "deep")
    facts["own/refused"] = _refused(framework, data, folder / "broken")
    _train_and_export(framework, data, folder / "own", facts)
    for name, given, sampler in (("files", data, "shuffle"), ("weighted-arrays", _arrays(data), "weighted")):
        facts[f"own/resumed/{name}"] = _resumed(framework, given, sampler)
    if framework.name in HAVE_WORKERS and SHARED_MEMORY.is_dir():
        facts["own/workers"] = [_resumed(framework, data, "shuffle", workers=2) for _ in range(2)]


def _default_batch(framework: Framework) -> int | None:
    """The batch size in the signature of the framework's own loader; None where tutorials write one."""
    if framework.name == "keras":
        from keras.utils import image_dataset_from_directory

        return int(inspect.signature(image_dataset_from_directory).parameters["batch_size"].default)
    if framework.name == "fastai":
        from fastai.data.core import DataLoaders

        return int(inspect.signature(DataLoaders.from_dsets).parameters["bs"].default)
    return None


def _recipe(vary: Augmentation, epochs: int = 1) -> Recipe:
    written = {"epochs": epochs, "batch_size": IMAGES, "augmentation": vary.model_dump()}
    return Recipe(**complete("idiomatic", written))


def _first(framework: Framework, data: TrainingData, vary: Augmentation) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    recipe = _recipe(vary)
    model = framework.build(ARCHITECTURE, None, networks.settings(ARCHITECTURE, recipe))
    return framework.first_batch(model, data, recipe)


def _train_and_export(framework: Framework, data: TrainingData, folder: Path, facts: dict[str, Any]) -> None:
    """Two epochs with every change, and each format against the model in memory, called twice."""
    recipe = _recipe(networks.AUGMENTATION, epochs=2)
    model = framework.build(ARCHITECTURE, None, networks.settings(ARCHITECTURE, recipe))
    recorder = Recorder()
    framework.fit(model, data, recipe, recorder)
    facts["own/metrics"] = [metrics.model_dump() for metrics in recorder.metrics]
    images = np.array(data.train.images)
    expected = framework.predict(model, images)
    folder.mkdir()
    for format_name in framework.formats:
        framework.export(model, format_name, folder)
        predict = runtimes.load(format_name, folder / get_format(format_name).path, 1)
        gaps = [float(np.abs(predict(images) - expected).max()) for _ in range(2)]
        facts[f"own/exported/{format_name}"] = max(gaps)


def _resumed(framework: Framework, data: TrainingData, sampler: str, workers: int | None = None) -> dict[str, Any]:
    """Two epochs of several varied batches, and the second one again from the first one's checkpoint."""
    written = {"epochs": 2, "batch_size": 5, "sampler": sampler, "augmentation": networks.AUGMENTATION.model_dump()}
    recipe = Recipe(**complete("idiomatic", {**written, "workers": workers}))
    settings = networks.settings(ARCHITECTURE, recipe)

    def fitted(recorder: Recorder) -> Weights:
        model = framework.build(ARCHITECTURE, networks.weights(ARCHITECTURE), settings)
        framework.fit(model, data, recipe, recorder)
        return framework.weights(model)

    whole = Recorder()
    uninterrupted = fitted(whole)
    again = Recorder(whole.states[0], 1)
    again.metrics.append(whole.metrics[0])
    resumed = fitted(again)
    return {
        "equal": all(np.array_equal(uninterrupted[key], resumed[key]) for key in uninterrupted),
        "losses": [whole.metrics[1].train_loss, again.metrics[1].train_loss],
        "epochs": [metrics.epoch for metrics in again.metrics],
        "released": again.resume is None,
    }


def _files(folder: Path, scale: int = 1) -> TrainingData:
    """Lossless images of the network's size, or `scale` times as large, as files and as the prepared arrays."""
    split = networks.images(ARCHITECTURE, IMAGES, "originals")
    labels = np.arange(IMAGES) % 3
    folder.mkdir()
    paths = []
    for place, image in enumerate(split.images):
        paths.append(folder / f"{place}.png")
        picture = Image.fromarray(image)
        height = picture.height * (scale + (place % 2 if scale > 1 else 0))
        picture.resize((picture.width * scale, height), 0).save(paths[-1])
    height, width, _ = ARCHITECTURE.input_shape
    originals = Originals(
        labels, ImageSpec(height=height, width=width), ARCHITECTURE.classes, folder / "work", tuple(paths)
    )
    prepared = Split(split.images, labels)
    both = {"train": originals, "validation": originals.select(range(IMAGES), "validation")}
    return TrainingData(prepared, prepared, tuple(f"c{i}" for i in range(ARCHITECTURE.classes)), both)


def _without_a_class(data: TrainingData, label: int) -> TrainingData:
    """The same files but for those of one class, as in a validation split that has none of it."""
    places = np.flatnonzero(data.train.labels != label)
    part = Split(np.asarray(data.train.images)[places], data.train.labels[places])
    found = data.original("train")
    assert found is not None
    originals = found.select(places.tolist(), "gap")
    return TrainingData(part, part, data.classes, {"train": originals, "validation": originals})


def _arrays(data: TrainingData) -> TrainingData:
    return TrainingData(data.train, data.validation, data.classes)


def _weighted(framework: Framework, data: TrainingData) -> dict[str, Any]:
    """An epoch in one batch, of a split whose first class is ten times as large as the two others."""
    places = np.concatenate([np.resize(np.flatnonzero(data.train.labels == label), n) for label, n in IMBALANCE])
    train = Split(np.asarray(data.train.images)[places], data.train.labels[places])
    found = data.original("train")
    originals = found and {"train": found.select(places.tolist(), "weighted"), "validation": found}
    given = TrainingData(train, data.validation, data.classes, originals)
    recipe = Recipe(**complete("idiomatic", {"epochs": 1, "batch_size": len(places), "sampler": "weighted"}))
    model = framework.build(ARCHITECTURE, None, networks.settings(ARCHITECTURE, recipe))
    images, labels = framework.first_batch(model, given, recipe)
    pairs = {(image.tobytes(), int(label)) for image, label in zip(train.images, train.labels, strict=True)}
    drawn = [(np.ascontiguousarray(image).tobytes(), int(label)) for image, label in zip(images, labels, strict=True)]
    return {"labels": np.bincount(labels).tolist(), "known": sum(pair in pairs for pair in drawn)}


def _picture(framework: Framework, data: TrainingData) -> list[int]:
    """Width and height of the picture of varied images, of a training whose sampler draws some of them twice."""
    written = {"epochs": 1, "batch_size": 5, "sampler": "weighted", "augmentation": {"flip": True}}
    recipe = Recipe(**complete("idiomatic", written))
    model = framework.build(ARCHITECTURE, None, networks.settings(ARCHITECTURE, recipe))
    found = samples.picture(framework, model, data, recipe, 0)
    return list(found.size) if found else []


def _sizes(framework: Framework, folder: Path) -> float:
    """Mean difference of enlarged images of varying size, shrunk again by the framework, from the small ones."""
    data = _files(folder, scale=3)
    images, labels = _first(framework, data, Augmentation())
    gaps = [
        min(np.abs(image.astype(float) - one).mean() for one in data.train.images[data.train.labels == label])
        for image, label in zip(images, labels, strict=True)
    ]
    return float(max(gaps))


def _deep(framework: Framework, folder: Path) -> list[int]:
    """Pixels that a loader makes of files of 16 bits, of one pixel value each: DEEP."""
    data = _files(folder)
    found = data.original("train")
    assert found is not None
    paths = []
    for place, path in enumerate(found.paths):
        paths.append(path.with_name(f"deep{place}.png"))
        value = DEEP[place % len(DEEP)]
        Image.fromarray(np.full(ARCHITECTURE.input_shape[:2], value, np.uint16)).save(paths[-1])
    deep = Originals(found.labels, found.spec, found.classes, folder / "deep", tuple(paths))
    given = TrainingData(data.train, data.validation, data.classes, {"train": deep, "validation": deep})
    images, _ = _first(framework, given, Augmentation())
    return [int(value) for value in np.unique(images)]


def _kinds(framework: Framework, folder: Path) -> dict[str, str]:
    """What is said of grey and of colour files of each kind to a loader; `not refused` where it reads them."""
    found = {}
    recipe = _recipe(Augmentation())
    for name, network, mode in (("grey", networks.CASES["digits-cnn"], "L"), ("colour", ARCHITECTURE, "RGB")):
        height, width, _ = network.input_shape
        labels = np.arange(network.classes)
        blank = Split(np.zeros((len(labels), *network.input_shape), np.uint8), labels)
        spec = ImageSpec(height=height, width=width, color="grey" if mode == "L" else "rgb")
        model = framework.build(network, None, networks.settings(network, recipe))
        for suffix, kind in KINDS.items():
            place = folder / f"{name}{suffix}"
            place.mkdir(parents=True)
            paths = tuple(place / f"{label}{suffix}" for label in labels)
            for path in paths:
                Image.new(mode, (width, height)).save(path, kind)
            originals = Originals(labels, spec, network.classes, place / "work", paths)
            both = {"train": originals, "validation": originals}
            data = TrainingData(blank, blank, tuple(f"c{label}" for label in labels), both)
            found[place.name] = _error_of(partial(framework.first_batch, model, data, recipe), folder)
    return found


def _refused(framework: Framework, data: TrainingData, folder: Path) -> list[str]:
    """What is said of a file that is no image, by name, to a loader that goes by names or by content: by the first
    batch, and by a training, whose loader may have processes of its own."""
    folder.mkdir()
    broken = folder / "broken.tiff"
    broken.write_bytes(b"not an image")
    train = data.originals["train"] if data.originals else None
    assert train is not None
    spoiled = Originals(train.labels, train.spec, train.classes, folder / "work", (broken, *train.paths[1:]))
    given = TrainingData(data.train, data.validation, data.classes, {"train": spoiled, "validation": spoiled})
    recipe = _recipe(Augmentation())
    model = framework.build(ARCHITECTURE, None, networks.settings(ARCHITECTURE, recipe))
    tried = [
        lambda: framework.first_batch(model, given, recipe),
        lambda: framework.fit(model, given, recipe, Recorder()),
    ]
    if SHARED_MEMORY.is_dir():
        with_workers = recipe.model_copy(update={"workers": 1})
        tried.append(lambda: framework.fit(model, given, with_workers, Recorder()))
    return [_error_of(attempt, folder) for attempt in tried]


def _error_of(attempt: Callable[[], object], folder: Path) -> str:
    try:
        attempt()
    except InvalidInputError as error:
        return str(error).replace(str(folder), "")
    except Exception as error:
        return f"not a domain error: {type(error).__name__} {error}"
    return "not refused"


def _known(images: NDArray[np.uint8], prepared: Split) -> int:
    """How many of a batch are exactly one of the prepared images."""
    known = {image.tobytes() for image in prepared.images}
    return sum(np.ascontiguousarray(image).tobytes() in known for image in images)
