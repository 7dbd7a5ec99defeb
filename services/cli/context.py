"""Where this machine's Bakeoff lives, and how a command ends."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import pydantic
import typer
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console

from core import disk, errors
from core.mirror import open_repository
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
    repository: str = ""
    """BAKEOFF_REPOSITORY: model repository, a folder or fsspec URL; default: `models` in the home folder."""
    production: str = ""
    """BAKEOFF_PRODUCTION: repository of promoted models, a folder or fsspec URL; default: `production` in the home
    folder."""
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
    def models(self) -> str:
        return _place(self.repository or self.home / "models")

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def directory(self) -> Directory:
        return Directory(self.home)

    def open_store(self) -> Store:
        return Store(self.store_url, self.cache)

    def open_repository(self, model: str | None = None) -> ModelRepository:
        """The repository, as it is now; of what is behind a URL only `model` is looked at, where it is named."""
        return self._open(self.models, model)

    def open_production(self, model: str | None = None) -> ModelRepository:
        """The repository of promoted models, as `open_repository`."""
        return self._open(_place(self.production or self.home / "production"), model)

    def _open(self, place: str, model: str | None) -> ModelRepository:
        repository = open_repository(place, self.cache)
        repository.refresh(model)
        return repository


def _place(given: str | Path) -> str:
    return str(given) if "://" in str(given) else str(Path(given).absolute())


def ends_well(command: Callable[P, R]) -> Callable[P, R]:
    """Turns domain errors into one line on standard error and the documented exit code."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with disk.named(Home().home):
                return command(*args, **kwargs)
        except (errors.BakeoffError, KeyboardInterrupt) as error:
            text = str(error) or "interrupted"
            err.print(f"bakeoff: {text}", style="red", highlight=False, markup=False, soft_wrap=True)
            code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
            raise typer.Exit(code) from None

    return wrapped
