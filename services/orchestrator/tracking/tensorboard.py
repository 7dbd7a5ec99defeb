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
DONE = "done"


class TensorBoardSink:
    """One run folder `<experiment>/<arm>-<framework>-s<seed>` for each training.

    While it runs, epochs are appended; when it is done the folder is written anew from the result and swapped in, so
    that nothing an interrupted attempt wrote stays in the curves.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        # TensorBoard's name for "use my own code": it would load TensorFlow wherever that is installed.
        sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))
        from tensorboard.compat.proto import event_pb2, graph_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._folder, self._writer = folder, EventFileWriter
        self._event, self._graph, self._summary = event_pb2.Event, graph_pb2.GraphDef, summary_pb2.Summary
        self._last: dict[str, int] = {}

    def epoch(self, run: Tracked, number: int, values: dict[str, float]) -> None:
        """Appends an epoch, once."""
        if number <= self._last.get(run.run_id, 0):
            return
        self._last[run.run_id] = number
        writer = self._writer(str(self._place(run)), filename_suffix=f".{number}")
        writer.add_event(self._scalars(number, values))
        writer.close()

    def finished(self, run: Tracked, outcome: Outcome) -> None:
        """Writes everything from the result, unless this very result is there."""
        place = self._place(run)
        marker = place / DONE
        if marker.is_file() and marker.read_text() == run.run_id:
            return
        new = place.with_name(f".{place.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        writer = self._writer(str(new))
        for event in self._events(outcome):
            writer.add_event(event)
        writer.close()
        files.write_text(new / DONE, run.run_id)
        shutil.rmtree(place, ignore_errors=True)
        new.rename(place)

    def scored(self, run: Tracked, name: str, values: dict[str, float]) -> None:
        """Adds the figures as scalars `test/accuracy.onnx` without a course, unless these very ones are there."""
        marker, text = self._place(run) / f"scored-{name}", json.dumps(values, sort_keys=True)
        if marker.is_file() and marker.read_text() == text:
            return
        found = [self._summary.Value(tag=f"test/{key}.{name}", simple_value=value) for key, value in values.items()]
        writer = self._writer(str(marker.parent), filename_suffix=f".{name}")
        writer.add_event(self._event(wall_time=time.time(), summary=self._summary(value=found)))
        writer.close()
        files.write_text(marker, text)

    def interrupted(self, run: Tracked) -> None:
        """Nothing: a run has no state here, and its epochs stay until it goes on."""

    def failed(self, run: Tracked, reason: str) -> None:
        """Keeps the epochs there were; the reason becomes a text."""
        writer = self._writer(str(self._place(run)), filename_suffix=".failed")
        writer.add_event(self._text("failed", reason))
        writer.close()

    def pruned(self, run: Tracked) -> None:
        """Keeps the epochs there were and says why there are no more."""
        writer = self._writer(str(self._place(run)), filename_suffix=".pruned")
        writer.add_event(self._text("pruned", "stopped by the search: below the median of the complete trials"))
        writer.close()

    def _place(self, run: Tracked) -> Path:
        return self._folder / run.spec.experiment / run.name

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
