"""Where tracking goes: infrastructure, so from the environment."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pydantic
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.repository import ModelRepository
from services.orchestrator.tracking.mlflow import MlflowSink
from services.orchestrator.tracking.sink import Sink
from services.orchestrator.tracking.tensorboard import TensorBoardSink
from services.orchestrator.tracking.tracker import OFF, Say, Tracker

LIBRARIES = {"mlflow": "mlflow", "tensorboard": "tensorboard"}


class TrackingSettings(BaseSettings):
    """Read from the environment."""

    model_config = SettingsConfigDict(extra="ignore", use_attribute_docstrings=True, populate_by_name=True)

    tracking: Literal["on", "off", "mlflow", "tensorboard"] = pydantic.Field("on", alias="BAKEOFF_TRACKING")
    """BAKEOFF_TRACKING: on (MLflow and TensorBoard, those that are installed), mlflow, tensorboard, or off."""
    uri: str = pydantic.Field("", alias="MLFLOW_TRACKING_URI")
    """MLFLOW_TRACKING_URI: MLflow's server; default: an SQLite file in the home folder."""


def open_tracker(home: Path, models: ModelRepository, say: Say) -> Tracker:
    """The tracker the environment asks for, writing below `home/tracking` and `home/tensorboard`.

    Args:
        models: the model repository, from which artefacts are kept.
        say: receives a line for whatever is not tracked.
    """
    settings = TrackingSettings()
    wanted = list(LIBRARIES) if settings.tracking == "on" else [settings.tracking]
    makers: dict[str, Callable[[], Sink]] = {
        "mlflow": lambda: _mlflow(settings, home / "tracking"),
        "tensorboard": lambda: TensorBoardSink(home / "tensorboard"),
    }
    if settings.tracking == "off":
        return OFF
    absent = [name for name in wanted if importlib.util.find_spec(LIBRARIES[name]) is None]
    if absent:
        say(f"not tracked in {' and '.join(absent)}: not installed; pip install 'bakeoff[tracking]' changes that")
    return Tracker([makers[name] for name in wanted if name not in absent], say, models)


def _mlflow(settings: TrackingSettings, folder: Path) -> Sink:
    if settings.uri:
        return MlflowSink(settings.uri, None)
    folder.mkdir(parents=True, exist_ok=True)
    return MlflowSink(database(folder), folder / "artifacts")


def database(folder: Path) -> str:
    """URI of the SQLite file in a folder."""
    return f"sqlite:///{folder.absolute() / 'mlflow.db'}"
