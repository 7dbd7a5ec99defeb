"""Settings of the trainer service."""

from pathlib import Path
from typing import Annotated

import pydantic
from pydantic_settings import SettingsConfigDict

from core import cpu
from core.errors import BakeoffError
from core.mirror import check_url
from core.runtimes.devices import Wanted
from core.schemas.specs import Framework
from services.rpc.settings import ServiceSettings


class TrainerSettings(ServiceSettings):
    """Prepares data and trains networks with one framework."""

    model_config = SettingsConfigDict(env_prefix="BAKEOFF_TRAINER_")

    framework: Framework
    """keras, tensorflow, pytorch or fastai."""
    runs: Path
    """Folder of this service's runs: specs, events, checkpoints. Survives restarts."""
    store: str
    """Folder or fsspec URL that all services share."""
    cache: Path
    """Folder for local copies of remote objects."""
    repository: Annotated[str, pydantic.BeforeValidator(str)]
    """Model repository that exported models are published to: a folder or an fsspec URL (s3://bucket/models)."""
    slots: int = pydantic.Field(1, ge=1)
    """Runs executed at a time; more are queued."""
    warm_workers: bool = True
    """On Linux, fork workers from a process that keeps their imports in memory; else each starts from nothing."""
    device: Wanted = "auto"
    """What trainings compute on; auto: a CUDA GPU where the framework finds one. Results say which it was."""
    threads: int = pydantic.Field(default_factory=cpu.threads, ge=1)
    """CPU threads of a run; by default what the CPU quota gives."""

    @pydantic.model_validator(mode="after")
    def _remote_can_be_written(self) -> "TrainerSettings":
        if "://" in self.repository:
            try:
                check_url(self.repository)
            except BakeoffError as error:
                raise ValueError(f"--repository {self.repository} cannot be written here: {error}") from error
        return self
