"""Where this machine's Bakeoff lives, and how a command ends."""

import os
import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import pydantic
import typer
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console

from core import errors
from core.repository import ModelRepository
from core.store import Store
from services.client.directory import Directory

P = ParamSpec("P")
R = TypeVar("R")

EXIT_CODES: dict[type[BaseException], int] = {
    errors.InvalidInputError: 2,
    errors.NotFoundError: 3,
    errors.NotReadyError: 4,
    errors.BakeoffError: 1,
    KeyboardInterrupt: 130,
}
EXIT_HELP = (
    "Exit codes: 0 done · 1 failed, a step of the experiment failed, a result of it cannot be used or a gate did not "
    "hold · 2 invalid input · "
    "3 not found · 4 a service is not available · 130 interrupted"
)
# Where nobody looks at a terminal, tables keep their columns whole.
out = Console(width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, width=None if sys.stderr.isatty() else 200)


class Home(BaseSettings):
    """Infrastructure of one machine, from the environment."""

    model_config = SettingsConfigDict(env_prefix="BAKEOFF_", extra="ignore", use_attribute_docstrings=True)

    home: Path = Path(".bakeoff")
    """BAKEOFF_HOME: folder for services, logs, runs, store, models and reports."""
    store: str = ""
    """BAKEOFF_STORE: folder or fsspec URL all services share; default: `store` in the home folder."""
    repository: Path | None = None
    """BAKEOFF_REPOSITORY: model repository; default: `models` in the home folder."""
    production: Path | None = None
    """BAKEOFF_PRODUCTION: repository of promoted models; default: `production` in the home folder."""
    host: str = "127.0.0.1"
    """BAKEOFF_HOST: address that services started here listen on."""

    @pydantic.field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.absolute()

    @property
    def store_url(self) -> str:
        return self.store or str(self.home / "store")

    @property
    def models(self) -> Path:
        _check_folder("BAKEOFF_REPOSITORY", self.repository)
        return (self.repository or self.home / "models").absolute()

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def directory(self) -> Directory:
        return Directory(self.home)

    def open_store(self) -> Store:
        return Store(self.store_url, self.cache)

    def open_repository(self) -> ModelRepository:
        return ModelRepository(self.models)

    def open_production(self) -> ModelRepository:
        _check_folder("BAKEOFF_PRODUCTION", self.production)
        return ModelRepository((self.production or self.home / "production").absolute())


def _check_folder(variable: str, given: Path | None) -> None:
    # A Path has made one slash of two.
    if given is not None and re.match(r"[a-z][a-z0-9+.-]+:/", str(given)):
        raise errors.InvalidInputError(
            f"{variable}={os.environ.get(variable, given)} is not a folder: models are published, promoted and rolled "
            "back in a folder; copy it to the URL that servers read, each version's artifact.json last"
        )


def ends_well(command: Callable[P, R]) -> Callable[P, R]:
    """Turns domain errors into one line on standard error and the documented exit code."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (errors.BakeoffError, KeyboardInterrupt) as error:
            text = str(error) or "interrupted"
            err.print(f"bakeoff: {text}", style="red", highlight=False, markup=False, soft_wrap=True)
            code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
            raise typer.Exit(code) from None

    return wrapped
