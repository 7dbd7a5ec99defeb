"""Hugging Face `datasets`: a name on the hub, or a local folder of Parquet files."""

from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import BakeoffError, InvalidInputError, NotFoundError, NotReadyError
from core.schemas.data import SPLITS, DatasetSource
from trainer.preparation.sources import ALL, Listing, SourceInspection, Tick, digest_of, require, split_called

ResultT = TypeVar("ResultT")
TICK_S = 0.1


def inspect(source: DatasetSource) -> SourceInspection:
    """Local: reads the footers of the Parquet files. Hub: asks for revision, features and split sizes."""
    with TemporaryDirectory(prefix="bakeoff-inspect-") as cache:
        builder = _explained(source, lambda: _builder(source, Path(cache)))
    files = {str(split): [str(file) for file in found] for split, found in (builder.config.data_files or {}).items()}
    if local(source):
        return _explained(source, lambda: _inspect_parquet(source, files))
    features, splits = builder.info.features, builder.info.splits or {}
    classes = tuple(features[_label_column(source, features)].names) if features else ()
    digest = digest_of(source.kind, source.name, source.config, str(builder.hash), files)
    return SourceInspection(digest, classes, {str(name): int(info.num_examples) for name, info in splits.items()})


def open_source(source: DatasetSource, work: Path, tick: Tick) -> Listing:
    """Loads the data set (downloading and converting it where needed) without decoding an image."""
    loaded = _explained(source, lambda: _in_background(lambda: _load(source, work / "datasets"), tick))
    ignored: list[str] = []
    chosen = _choose_splits(source, list(loaded), ignored)
    features = loaded[next(iter(chosen))].features
    image_column, label_column = _image_column(source, features), _label_column(source, features)
    classes = tuple(features[label_column].names)
    labels = {name: _labels(loaded[name], name, label_column, len(classes), ignored) for name in chosen}
    labels = {name: found for name, found in labels.items() if len(found)}
    if not labels:
        raise InvalidInputError(f"{source.name} has no labelled images in {', '.join(chosen)}")
    images = _explained(source, lambda: _encoded_images([loaded[name] for name in labels], image_column))
    names, starts = list(labels), np.cumsum([0, *map(len, labels.values())]).tolist()

    def name(item: int) -> str:
        place = bisect_right(starts, item) - 1
        return f"{names[place]}[{item - starts[place]}]"

    def read(rows: NDArray[np.int64]) -> list[bytes | Path]:
        return [_encoded(cell) for cell in images[rows][image_column]]

    own = {chosen[split]: np.arange(starts[i], starts[i + 1]) for i, split in enumerate(names) if chosen[split] != ALL}
    return Listing(classes, np.concatenate(list(labels.values())), own, name, read, tuple(ignored))


def open_rows(source: DatasetSource, items: list[str], work: Path, tick: Tick) -> Any:
    """The rows of these items (`split[index]`), in their order: a `datasets.Dataset` of columns `image`, `label`.

    Raises:
        NotFoundError: the data set has no such split or row.
    """
    loaded = _explained(source, lambda: _in_background(lambda: _load(source, work / "datasets"), tick))
    places = [(split, int(index)) for split, index in (item.removesuffix("]").rsplit("[", 1) for item in items)]
    names = list(dict.fromkeys(split for split, _ in places))
    if missing := sorted(set(names) - set(loaded)):
        raise NotFoundError(f"{source.name} has no split {', '.join(missing)}; it has {', '.join(loaded)}")
    starts = dict(zip(names, np.cumsum([0, *(len(loaded[name]) for name in names)]).tolist(), strict=False))
    if beyond := next((f"{name}[{row}]" for name, row in places if row >= len(loaded[name])), None):
        raise NotFoundError(f"{source.name} has no row {beyond}")
    features = loaded[names[0]].features
    columns = {_image_column(source, features): "image", _label_column(source, features): "label"}
    parts = [loaded[name].select_columns(list(columns)).rename_columns(columns) for name in names]
    return _datasets().concatenate_datasets(parts).select([starts[name] + row for name, row in places])


def local(source: DatasetSource) -> Path | None:
    """The local folder a source names, or None for a hub name (`owner/name` or `name`)."""
    path = Path(source.name).expanduser()
    looks_local = source.name.startswith(("/", ".", "~")) or source.name.count("/") > 1
    if not looks_local and not path.exists():
        return None
    if not path.is_dir():
        state = "is a file" if path.exists() else "does not exist"
        raise NotFoundError(
            f"{path.absolute()} {state} on this trainer's machine; expected a folder of Parquet files, or a name on "
            "the Hugging Face hub"
        )
    if source.config or source.revision:
        raise InvalidInputError(f"config and revision belong to hub names; {path} is a local folder, leave them out")
    if not any(path.rglob("*.parquet")):
        raise NotFoundError(f"{path} holds no *.parquet file; for a folder of images use source kind folder")
    return path


def _builder(source: DatasetSource, cache: Path) -> Any:
    datasets = _datasets()
    if path := local(source):
        return datasets.load_dataset_builder("parquet", data_dir=str(path), cache_dir=str(cache))
    return datasets.load_dataset_builder(source.name, source.config, revision=source.revision, cache_dir=str(cache))


def _load(source: DatasetSource, cache: Path) -> Any:
    """Every split of the data set, converted to memory-mapped Arrow files below `cache`."""
    datasets = _datasets()
    if path := local(source):
        return datasets.load_dataset("parquet", data_dir=str(path), cache_dir=str(cache))
    return datasets.load_dataset(source.name, source.config, revision=source.revision, cache_dir=str(cache))


def _datasets() -> Any:
    datasets = require("datasets")
    datasets.disable_progress_bars()
    require("huggingface_hub.utils").disable_progress_bars()
    return datasets


def _inspect_parquet(source: DatasetSource, files: dict[str, list[str]]) -> SourceInspection:
    parquet, datasets = require("pyarrow.parquet"), _datasets()
    ignored: list[str] = []
    images: dict[str, int] = {}
    chosen = _choose_splits(source, list(files), ignored)
    for split, ours in chosen.items():
        images[ours] = sum(parquet.read_metadata(file).num_rows for file in files[split])
        if not images[ours]:
            raise InvalidInputError(f"split {split} of {source.name} is empty; fill it or remove its files")
    features = datasets.Features.from_arrow_schema(parquet.read_schema(files[next(iter(chosen))][0]))
    _image_column(source, features)
    classes = tuple(features[_label_column(source, features)].names)
    stats = [
        (split, Path(file).name, Path(file).stat().st_size, Path(file).stat().st_mtime_ns)
        for split, found in files.items()
        for file in found
    ]
    return SourceInspection(digest_of(source.kind, stats), classes, images)


def _choose_splits(source: DatasetSource, names: list[str], ignored: list[str]) -> dict[str, str]:
    """The data set's split names to ours, in our order; a single split of any other name is `all`."""
    known = {name: split_called(name) for name in names}
    if len(names) == 1 and known[names[0]] is None:
        return {names[0]: ALL}
    chosen: dict[str, str] = {}
    for split in SPLITS:
        same = [name for name in names if known[name] == split]
        if len(same) > 1:
            raise InvalidInputError(f"{source.name} has two splits for {split}: {', '.join(same)}")
        chosen |= dict.fromkeys(same, split)
    if not chosen:
        raise InvalidInputError(f"{source.name} has splits {', '.join(names)}; expected train, validation or test")
    ignored += [f"split {name}: not one of train, validation, test" for name in names if known[name] is None]
    return chosen


def _image_column(source: DatasetSource, features: Any) -> str:
    return _column(source, features, source.image_column, "image", _datasets().Image)


def _label_column(source: DatasetSource, features: Any) -> str:
    return _column(source, features, source.label_column, "label", _datasets().ClassLabel)


def _column(source: DatasetSource, features: Any, wanted: str | None, role: str, kind: type) -> str:
    """The column of a role: the one asked for, or the only one of its type."""
    fitting: list[str] = [str(name) for name, feature in features.items() if isinstance(feature, kind)]
    columns = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
    if wanted is None and len(fitting) == 1:
        return fitting[0]
    if wanted is not None and wanted in fitting:
        return wanted
    problem = (
        f"no column {wanted!r} of type {kind.__name__}" if wanted else f"{len(fitting)} columns of type {kind.__name__}"
    )
    hint = f"name one with {role}_column" if fitting else f"cast one to {kind.__name__} and write the data set again"
    raise InvalidInputError(f"{source.name} has {problem}: {columns}; {hint}")


def _labels(split: Any, name: str, column: str, classes: int, ignored: list[str]) -> NDArray[np.int64]:
    """Labels of a split; none for one that is published without labels (all −1 or missing)."""
    labels = np.array([-1 if label is None else label for label in split[column][:]], dtype=np.int64)
    if not len(labels):
        raise InvalidInputError(f"split {name} is empty; fill it or remove it from the data set")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong) == len(labels):
        ignored.append(f"split {name}: published without labels")
        return labels[:0]
    if len(wrong):
        raise InvalidInputError(
            f"{name}[{wrong[0]}] has no label, like {len(wrong) - 1} others; remove such rows or label them"
        )
    return labels


def _encoded_images(splits: list[Any], column: str) -> Any:
    """All splits one after the other, with images as they were encoded."""
    datasets = _datasets()
    return datasets.concatenate_datasets([
        split.select_columns([column]).cast_column(column, datasets.Image(decode=False)) for split in splits
    ])  # fmt: skip


def _encoded(cell: dict[str, Any] | None) -> bytes | Path:
    if cell is None or (cell["bytes"] is None and not cell["path"]):
        return b""
    return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"])


def _in_background(function: Callable[[], ResultT], tick: Tick) -> ResultT:
    """Runs a long call that cannot be stopped; when `tick` raises, it is left to end with the process."""
    results: list[ResultT] = []
    errors: list[Exception] = []

    def target() -> None:
        try:
            results.append(function())
        except Exception as error:
            errors.append(error)

    thread = Thread(target=target, name="load-dataset", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(TICK_S)
        tick()
    if errors:
        raise errors[0]
    return results[0]


def _explained(source: DatasetSource, function: Callable[[], ResultT]) -> ResultT:
    """Calls into `datasets` and says what an error means for the source."""
    try:
        return function()
    except BakeoffError:
        raise
    except FileNotFoundError as error:
        raise NotFoundError(
            f"data set {source.name!r} not found: {error}; expected a hub name or a local folder{_taken(source)}"
        ) from error
    except ConnectionError as error:
        raise NotReadyError(
            f"{error}; try again with a network, or name a local folder of Parquet files{_taken(source)}"
        ) from error
    except Exception as error:
        reason = str(error.__cause__ or error).rstrip(".")
        raise InvalidInputError(
            f"data set {source.name!r} cannot be loaded: {reason}; expected a hub name, or a folder with the Parquet "
            "files of this data set and no others"
        ) from error


def _taken(source: DatasetSource) -> str:
    """What a mistyped folder was taken for; nothing where one is there."""
    path = Path(source.name)
    if path.exists():
        return ""
    return (
        f". No folder {path.absolute()} is on this trainer's machine, so {source.name} was taken for a data set of the "
        f"hub; write ./{source.name} for a folder"
    )
