"""`bakeoff ui`: pages over all runs, and a live page that asks the served models."""

import threading
from pathlib import Path
from typing import Annotated

import typer
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import BakeoffError, InvalidInputError
from core.formats import get_format
from core.repository import ModelRepository
from services.cli.context import Home, ends_well, out
from services.cli.experiment import open_url
from services.cli.services import say
from services.cli.stack import Stack
from services.ui.server import LOCAL, UiServer
from services.ui.site import Site

PORT = 7120


class Links(BaseSettings):
    """Where other tools are, from the environment; the pages link to those that answer."""

    model_config = SettingsConfigDict(env_prefix="BAKEOFF_UI_", extra="ignore", use_attribute_docstrings=True)

    mlflow: str = "http://127.0.0.1:5000"
    """BAKEOFF_UI_MLFLOW"""
    tensorboard: str = "http://127.0.0.1:6006"
    """BAKEOFF_UI_TENSORBOARD"""
    locust: str = "http://127.0.0.1:8089"
    """BAKEOFF_UI_LOCUST"""


@ends_well
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on; other machines reach all but loopback.")] = LOCAL[0],
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = PORT,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Show all experiments in the browser, and ask the served models about an image. Ends with Ctrl-C.

    Starts the servers its models need where they do not answer, and stops those again.
    """
    home = Home()
    repository, links = home.open_repository(), Links()
    addresses = {"MLflow": links.mlflow, "TensorBoard": links.tensorboard, "Locust": links.locust}
    site = Site(
        home.home,
        repository,
        lambda runtime: home.directory.target(f"serving-{runtime}"),
        addresses,
        frozen_in(home.store_url),
    )
    with _listening(site, host, port) as server:
        if host not in LOCAL:
            say(f"{host} is not loopback: whoever reaches it can read the reports and ask the models")
        with Stack(home, say).with_services(servers_of(repository)):
            out.print(f"bakeoff ui: {server.url}", highlight=False, soft_wrap=True)
            if show:
                open_url(server.url)
            _serve(server)


def frozen_in(store: str) -> Path | None:
    """Where a store that is a folder keeps the experiments that were begun; None for one elsewhere."""
    return None if "://" in store else Path(store) / "experiments"


def servers_of(repository: ModelRepository) -> list[str]:
    """The inference servers that the newest versions of the repository's models need.

    A damaged model is named on the terminal and left out: the pages show the others.
    """
    found = set()
    for name in repository.models():
        try:
            artifact = repository.artifact(name, repository.latest(name))
            found.add(f"serving-{get_format(artifact.format).runtime}")
        except (BakeoffError, OSError) as error:
            say(f"model {name} is left out: {error}")
    return sorted(found)


def _listening(site: Site, host: str, port: int) -> UiServer:
    try:
        return UiServer(site, host, port)
    except OSError as error:
        raise InvalidInputError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; --port 0 takes a free one"
        ) from error


def _serve(server: UiServer) -> None:
    """Until Ctrl-C, which is how this command is meant to end."""
    worker = threading.Thread(target=server.serve_forever, daemon=True)
    worker.start()
    try:
        worker.join()
    except KeyboardInterrupt:
        say("stopping")
    finally:
        server.shutdown()
        server.site.close()
