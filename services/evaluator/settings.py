"""Settings of the evaluator service."""

from pathlib import Path

import pydantic
from pydantic_settings import SettingsConfigDict

from core import cpu
from services.rpc.settings import ServiceSettings


class EvaluatorSettings(ServiceSettings):
    """Scores served models on prepared test data and writes reports."""

    model_config = SettingsConfigDict(env_prefix="BAKEOFF_EVALUATOR_")

    runs: Path
    """Folder of this service's runs. Survives restarts."""
    store: str
    """Folder or fsspec URL that all services share."""
    cache: Path
    """Folder for local copies of remote objects."""
    serving_onnxruntime: str = "127.0.0.1:7111"
    """Address of the inference server that runs ONNX models."""
    serving_tensorflow: str = "127.0.0.1:7112"
    """Address of the inference server that runs SavedModels and .keras files."""
    serving_pytorch: str = "127.0.0.1:7113"
    """Address of the inference server that runs exported PyTorch programs."""
    serving_openvino: str = "127.0.0.1:7114"
    """Address of the inference server that runs ONNX models with OpenVINO; only asked where an experiment says so."""
    serving_openvino_bf16: str = "127.0.0.1:7115"
    """The same in bfloat16."""
    slots: int = pydantic.Field(1, ge=1)
    """Runs executed at a time; more are queued."""
    warm_workers: bool = True
    """On Linux, fork workers from a process that keeps their imports in memory; else each starts from nothing."""
    in_flight: int = pydantic.Field(2, ge=1, le=64)
    """Scoring requests under way at a time; each holds one batch of images in memory."""
    threads: int = pydantic.Field(default_factory=cpu.threads, ge=1)
    """Recorded in results; the evaluator computes on one thread."""

    def serving(self, runtime: str) -> str:
        """Address of the server of a runtime."""
        return str(getattr(self, f"serving_{runtime.replace('-', '_')}"))
