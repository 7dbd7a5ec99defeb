"""TensorBoard event files: scalars by epoch, the network as a graph, pictures of augmented samples."""

import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from core import files
from core.schemas.metrics import EpochMetrics
from services.orchestrator.tracking.graph import INPUT, wired
from services.orchestrator.tracking.sink import Layer, Outcome, Tracked

TAGS = {
    "train_loss": "loss/train",
    "validation_loss": "loss/validation",
    "train_accuracy": "accuracy/train",
    "validation_accuracy": "accuracy/validation",
    "train_seconds": "seconds/train",
    "validation_seconds": "seconds/validation",
}
"""Figure of an epoch to TensorBoard's tag; what comes before the slash is one group of charts."""
DONE, RUN = "done", "run"
EVENTS = "brain.Event:2"
"""What an event file begins with: the version of its format."""


class TensorBoardSink:
    """One run folder `<experiment>/<arm>-<framework>-s<seed>` for each training.

    While it runs, epochs are appended; when it is done the folder is written anew from the result and swapped in.
    A folder holds one run's curves, whose id is in its file `run`; a run of that name with another recipe replaces it.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        # TensorBoard's name for "use my own code": it would load TensorFlow wherever that is installed.
        sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))
        from tensorboard.compat.proto import event_pb2, graph_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._folder, self._records = folder, RecordWriter
        self._event, self._graph, self._summary = event_pb2.Event, graph_pb2.GraphDef, summary_pb2.Summary
        self._session = event_pb2.SessionLog
        self._curves: dict[str, tuple[Path, int]] = {}
        """Of the runs whose epochs this process heard of: their event file, and the last epoch in it."""

    def epoch(self, run: Tracked, number: int, values: dict[str, float]) -> None:
        """Appends an epoch; the first that this process hears of begins the folder anew, for all are told again.

        An epoch that an attempt had reached before it was lost comes again: it and those after it are forgotten.
        """
        path, last = self._curves.get(run.run_id) or (self._begin(run, self._place(run)), 0)
        forgotten = [self._restart(number)] if number <= last else []
        self._append(path, *forgotten, self._scalars(number, values))
        self._curves[run.run_id] = path, number

    def finished(self, run: Tracked, outcome: Outcome) -> None:
        """Writes everything from the result, unless this very result is there."""
        place = self._place(run)
        if self._holds(place, run) and (place / DONE).is_file():
            return
        new = place.with_name(f".{place.name}.new")
        self._append(self._begin(run, new), *self._events(outcome))
        files.write_text(new / DONE, "")
        shutil.rmtree(place, ignore_errors=True)
        new.rename(place)
        self._curves.pop(run.run_id, None)

    def scored(self, run: Tracked, name: str, values: dict[str, float]) -> None:
        """Adds the figures as scalars `test/accuracy.onnx` without a course, unless these very ones are there."""
        found = [self._summary.Value(tag=f"test/{key}.{name}", simple_value=value) for key, value in values.items()]
        event = self._event(wall_time=time.time(), summary=self._summary(value=found))
        self._note(run, f"scored-{name}", json.dumps(values, sort_keys=True), event)

    def interrupted(self, run: Tracked) -> None:
        """Nothing: a run has no state here, and its epochs stay until it goes on."""

    def failed(self, run: Tracked, reason: str) -> None:
        """Keeps the epochs there were; the reason becomes a text."""
        self._note(run, "failed", reason, self._text("failed", reason))

    def pruned(self, run: Tracked) -> None:
        """Keeps the epochs there were and says why there are no more."""
        reason = "stopped by the search: below the median of the complete trials"
        self._note(run, "pruned", reason, self._text("pruned", reason))

    def _note(self, run: Tracked, name: str, content: str, event: Any) -> None:
        """Adds an event to a run's folder, unless a file there says that this very one was added."""
        place = self._place(run)
        if not self._holds(place, run):
            self._begin(run, place)
        marker = place / name
        if marker.is_file() and marker.read_text() == content:
            return
        self._append(_event_file(place), event)
        files.write_text(marker, content)

    def _place(self, run: Tracked) -> Path:
        return self._folder / run.spec.experiment / run.name

    def _holds(self, place: Path, run: Tracked) -> bool:
        owner = place / RUN
        return owner.is_file() and owner.read_text() == run.run_id

    def _begin(self, run: Tracked, place: Path) -> Path:
        """Makes a folder a run's own, whatever was in it; returns an event file for its curves."""
        shutil.rmtree(place, ignore_errors=True)
        files.write_text(place / RUN, run.run_id)
        path = _event_file(place)
        self._append(path, self._restart(0))
        return path

    def _append(self, path: Path, *events: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)  # Somebody may have removed the folder meanwhile.
        with path.open("ab") as file:
            records = self._records(file)
            if not file.tell():
                records.write(self._event(wall_time=time.time(), file_version=EVENTS).SerializeToString())
            for event in events:
                records.write(event.SerializeToString())

    def _restart(self, step: int) -> Any:
        """Makes readers forget this step and those after it, in a folder that began with a restart at 0."""
        return self._event(wall_time=time.time(), step=step, session_log=self._session(status=self._session.START))

    def _events(self, outcome: Outcome) -> Iterator[Any]:
        for metrics in outcome.result.history:
            yield self._scalars(metrics.epoch, figures(metrics))
        if outcome.layers:
            yield self._event(wall_time=time.time(), graph_def=self._network(outcome.layers).SerializeToString())
        for picture in sorted(outcome.folder.glob("*.png")):
            yield self._picture(picture)

    def _scalars(self, number: int, values: dict[str, float]) -> Any:
        found = [self._summary.Value(tag=TAGS[key], simple_value=value) for key, value in values.items() if key in TAGS]
        return self._event(wall_time=time.time(), step=number, summary=self._summary(value=found))

    def _picture(self, path: Path) -> Any:
        from PIL import Image

        with Image.open(path) as image:
            width, height = image.size
        value = self._summary.Value(tag=path.stem)
        value.image.CopyFrom(
            self._summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
        )
        return self._event(wall_time=time.time(), step=0, summary=self._summary(value=[value]))

    def _text(self, tag: str, text: str) -> Any:
        from tensorboard.plugins.text.summary_v2 import text_pb

        return self._event(wall_time=time.time(), step=0, summary=text_pb(tag, text))

    def _network(self, layers: Sequence[Layer]) -> Any:
        """The layers as nodes; what is inside a block carries the block's path in its name."""
        graph = self._graph()
        graph.node.add(name=INPUT, op="Placeholder")
        for one in wired(layers):
            node = graph.node.add(name=one.name, op=one.layer.type.split(" ")[0].rstrip(","), input=one.inputs)
            node.attr["type"].s = one.layer.type.encode()
            shape = node.attr["_output_shapes"].list.shape.add()
            for size in (-1, *one.layer.shape):
                shape.dim.add(size=size)
        return graph


def figures(metrics: EpochMetrics) -> dict[str, float]:
    """An epoch's figures by name."""
    return {key: float(value) for key, value in metrics.model_dump().items() if key in TAGS and value is not None}


def _event_file(place: Path) -> Path:
    """A new event file's path: readers take a folder's files in the order of their names."""
    return place / f"events.out.tfevents.{time.time_ns()}"
