"""`bakeoff doctor`: what is installed, what is missing, and the command that installs it."""

import shutil
from importlib import metadata, util
from typing import Any

import typer

from core import cpu
from services.cli.context import Home, ends_well, out
from services.cli.formats import FormatOption, ListFormat, show
from services.client.control import is_serving
from services.client.directory import ON_DEMAND

PARTS = (
    ("data preparation", "training", ("sklearn", "datasets", "safetensors", "onnx"), "datasets"),
    ("Keras trainer", "keras", ("keras", "tensorflow", "tf2onnx"), "keras"),
    ("TensorFlow trainer", "tensorflow", ("tensorflow", "tf2onnx"), "tensorflow"),
    ("PyTorch trainer", "pytorch", ("torch", "onnxscript"), "torch"),
    ("fastai trainer", "fastai", ("fastai", "torchvision"), "fastai"),
    ("ONNX serving", "serving", ("onnxruntime",), "onnxruntime"),
    ("OpenVINO serving", "serving-openvino", ("openvino",), "openvino"),
    ("TensorFlow serving", "serving-tensorflow", ("tensorflow", "keras"), "tensorflow"),
    ("PyTorch serving", "serving-pytorch", ("torch",), "torch"),
    ("evaluator and report", "evaluator", ("sklearn", "scipy", "jinja2", "plotly"), "scikit-learn"),
    ("load tests", "loadtests", ("locust", "hdrh"), "locust"),
    ("experiment tracking", "tracking", ("mlflow", "tensorboard"), "mlflow"),
    ("second transport", "envoy", ("pyvoy",), "pyvoy"),
    ("repositories in S3", "s3", ("s3fs",), "s3fs"),
)
"""Part, extra, modules it needs, distribution whose version is shown."""


@ends_well
def doctor(style: FormatOption = ListFormat.TABLE) -> None:
    """Say what is installed, what is missing, and how to install it. Exit code 1 when a part is missing."""
    home = Home()
    rows = [_part(*part) for part in PARTS]
    rows += [_service(home, name) for name in home.directory.expected()]
    rows += [_machine(home)]
    show(rows, style)
    missing = [row for row in rows if row["state"] == "missing"]
    if missing and style is ListFormat.TABLE:
        out.print(f"\n{len(missing)} parts are missing; the last column installs them", style="yellow")
    if missing:
        raise typer.Exit(1)


def _part(part: str, extra: str, modules: tuple[str, ...], distribution: str) -> dict[str, Any]:
    absent = [module for module in modules if util.find_spec(module) is None]
    if absent:
        fix = f"pip install -c constraints.txt 'bakeoff[{extra}]'"
        return {"part": part, "state": "missing", "found": f"without {', '.join(absent)}", "fix": fix}
    return {"part": part, "state": "installed", "found": f"{distribution} {_version(distribution)}", "fix": ""}


def _version(distribution: str) -> str:
    for name in (distribution, f"{distribution}-cpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def _service(home: Home, name: str) -> dict[str, Any]:
    target = home.directory.target(name)
    up = is_serving(target, timeout_s=0.5)
    fix = "" if up else f"bakeoff up {name}" if name in ON_DEMAND else "bakeoff up"
    return {"part": name, "state": "serving" if up else "not running", "found": target, "fix": fix}


def _machine(home: Home) -> dict[str, Any]:
    folder = next(p for p in (home.home, *home.home.parents) if p.exists())
    free = shutil.disk_usage(folder).free / 1e9
    found = f"{cpu.quota():g} cores, {free:.0f} GB free for {home.home}"
    return {"part": "machine", "state": "ok" if free > 1 else "disk nearly full", "found": found, "fix": ""}
