"""The Compose deployment: `python deploy/compose.py up|down|demo|urls [LAYER …]`, then `… bakeoff WORDS…`, `… reports`.

Needs Python 3.11, Docker Engine 25 and Compose 2.24, or newer. LAYER is one of the files compose.LAYER.yaml beside this
one.
`bakeoff WORDS…` runs the command in a container of what is up: with its layers, and of the same images.
`reports` copies the reports that it wrote to .bakeoff/compose/reports.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).parent))
import images

FOLDER = Path(__file__).resolve().parent
KEPT = FOLDER.parent / ".bakeoff" / "compose"
"""Reports, and what is up."""
UP = "up.env"
"""What is up, in KEPT: the variables by which plain `docker compose` finds the same files and images."""
LAYERS = sorted(path.name.split(".")[1] for path in FOLDER.glob("compose.*.yaml"))
WAIT_S = 300
ENGINE_API = (1, 44)
"""That of Docker Engine 25, the first that asks a starting container more often whether it is well (start_interval)."""
LOCAL = "bakeoff"
"""The registry that is none: its images are built here."""
UNCHOSEN = "dev"
"""The tag in compose.yaml where nobody sets one: the newest built here."""
REPORTS = "/home/bakeoff/reports"
"""Where the command's container has them, on the volume `home`."""
SCHEMES = {7101: "grpc", 7105: "grpc", 7111: "grpc"}
"""Container port to scheme; every other published port is a web page."""


def files_of(layers: Sequence[str]) -> list[str]:
    """The files of some layers in FOLDER, what `s3` changes of the services of another layer (s3/LAYER.yaml) last.

    A file that named services of a layer that is not there would make new ones of them.
    """
    both = [f"s3/{layer}.yaml" for layer in layers] if "s3" in layers else []
    return [
        "compose.yaml",
        *(f"compose.{layer}.yaml" for layer in layers),
        *(name for name in both if (FOLDER / name).is_file()),
    ]


class Compose:
    """`docker compose` over some files."""

    def __init__(self, files: list[str]) -> None:
        self._files = files
        self._command = ["docker", "compose"]
        for file in files:
            self._command += ["--file", file]
        self._environment = dict(os.environ)

    @classmethod
    def of_layers(cls, layers: list[str]) -> "Compose":
        """The core, some layers, and the file that BAKEOFF_COMPOSE_OVERRIDE names."""
        files = [str(FOLDER / name) for name in files_of(layers)]
        if override := os.environ.get("BAKEOFF_COMPOSE_OVERRIDE"):
            files.append(str(Path(override).absolute()))
        return cls(files)

    @classmethod
    def that_is_up(cls) -> "Compose":
        """What `up` started last. Raises SystemExit where that is nothing."""
        state = KEPT / UP
        if not state.is_file():
            raise SystemExit(f'nothing is up ({state} is missing): `make up COMPOSE=1 LAYERS="…"` starts it')
        kept = dict(line.split("=", 1) for line in state.read_text().splitlines())
        found = cls(kept["COMPOSE_FILE"].split(os.pathsep))
        found.use(kept["BAKEOFF_TAG"])
        return found

    def remember(self) -> None:
        """Keeps these files and images for `that_is_up`."""
        kept = {"COMPOSE_FILE": os.pathsep.join(self._files), "BAKEOFF_TAG": self._environment["BAKEOFF_TAG"]}
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / UP).write_text("".join(f"{name}={value}\n" for name, value in kept.items()))

    def use(self, tag: str) -> None:
        """From now on these images."""
        self._environment["BAKEOFF_TAG"] = tag

    def run(self, *arguments: str) -> None:
        """Runs a command whose output people see; ends this process with its status when it fails."""
        status = subprocess.run([*self._command, *arguments], env=self._environment).returncode
        if status:
            raise SystemExit(status)

    def json(self, *arguments: str) -> list[dict[str, object]]:
        """The lines of a command that answers in JSON."""
        command = [*self._command, *arguments, "--format", "json"]
        ended = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        if ended.returncode:
            raise SystemExit(ended.stderr.strip() or f"docker compose ended with status {ended.returncode}")
        return [json.loads(line) for line in ended.stdout.splitlines() if line.strip()]

    def services(self) -> dict[str, str]:
        """Every service with its image, also those of profiles."""
        command = [*self._command, "--profile", "*", "config", "--format", "json"]
        ended = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        if ended.returncode:
            raise SystemExit(ended.stderr.strip())
        return {name: service["image"] for name, service in json.loads(ended.stdout)["services"].items()}

    def copy_out(self, service: str, source: str, target: Path) -> None:
        """Copies a folder out of a service's volumes, without a shell inside. Raises SystemExit where there is none."""
        code = "import os, sys, tarfile; os.path.isdir(sys.argv[1]) or sys.exit('nothing is in ' + sys.argv[1])"
        code += "; archive = tarfile.open(fileobj=sys.stdout.buffer, mode='w|')"
        # An archive that is not closed may lack its end.
        code += "; archive.add(sys.argv[1], '.'); archive.close()"
        arguments = ["run", "--rm", "--no-TTY", "--no-deps", "--entrypoint", "python", service, "-c", code, source]
        target.mkdir(parents=True, exist_ok=True)
        with subprocess.Popen([*self._command, *arguments], env=self._environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            whole = _unpack(process.stdout, target)
        if process.returncode or not whole:
            raise SystemExit(f"{source} could not be copied out of {service}; it says why above")


def _unpack(stream: IO[bytes], target: Path) -> bool:
    """Unpacks an archive as it comes; whether it was one, and whole."""
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            if hasattr(tarfile, "data_filter"):
                archive.extractall(target, filter="data")
            else:  # Python before 3.11.4, such as Debian 12's; the archive is from our own container.
                archive.extractall(target)
    except tarfile.ReadError:
        return False
    return True


def get_images(compose: Compose) -> None:
    """Pulls the images where a registry is named, and builds them otherwise, unless they are there.

    Raises:
        SystemExit: one cannot be had; without a registry also where a tag is set that is not this checkout's and has no
            image here, because a build would give the old name to something else.
    """
    services = compose.services()
    registry, tag = chosen(services["cli"])
    if registry != LOCAL:
        # What the workflow publishes; `dev` is never among it.
        compose.use(tag or images.version())
        compose.run("--profile", "*", "pull", "--policy", "missing")
        return
    names = sorted({image.rpartition(":")[0].rpartition("/")[2] for image in services.values()} & images.IMAGES.keys())
    # A tag without the experiments: a file more there is no reason to start the services anew.
    content, code = images.content_tag(), images.code_tag()
    compose.use(code if tag == content else tag or code)
    if tag in ("", content, code):
        builder = images.builder_from_environment(LOCAL, content, "cpu")
        for name in names:
            print(builder.build(name), flush=True)
    elif missing := [full for name in names if not images.size(full := f"{LOCAL}/{name}:{tag}")]:
        raise SystemExit(
            f"BAKEOFF_TAG={tag}: not here are {', '.join(missing)}, and this checkout would build {content} instead. "
            "`make images` in a checkout of that tag builds them, BAKEOFF_REGISTRY=REGISTRY pulls them; "
            "without BAKEOFF_TAG this checkout is built and started"
        )


def chosen(image: str) -> tuple[str, str]:
    """Registry and tag that Compose read from the environment or from deploy/.env; no tag when that says `dev`."""
    path, _, tag = image.rpartition(":")
    return path.rpartition("/")[0], "" if tag == UNCHOSEN else tag


def check_engine() -> None:
    """Raises SystemExit where no engine answers, or one that is too old for the Compose files."""
    asked = ("docker", "version", "--format", "{{.Server.APIVersion}} {{.Server.Version}}")
    try:
        ended = subprocess.run(asked, capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit("docker is not installed, or not on the PATH") from None
    api, _, version = ended.stdout.strip().partition(" ")
    if ended.returncode or not api:
        raise SystemExit(ended.stderr.strip() or "no Docker engine answers: see docker version")
    if tuple(int(part) for part in api.split(".")) < ENGINE_API:
        raise SystemExit(
            f"the Docker engine here is {version}, with API {api}: Docker Engine 25 or newer is needed, "
            f"API {'.'.join(map(str, ENGINE_API))}, for start_interval in the health checks"
        )


def up(compose: Compose) -> None:
    """Starts everything, waits until it is healthy, and prints every address."""
    check_engine()
    get_images(compose)
    compose.remember()
    compose.run("up", "--detach", "--wait", "--wait-timeout", str(WAIT_S), "--remove-orphans")
    urls(compose)


def urls(compose: Compose) -> None:
    """One line for each published port of each container."""
    for container in sorted(compose.json("ps"), key=lambda one: str(one["Service"])):
        health = container["Health"] or container["State"]
        for port in container["Publishers"] or ():  # type: ignore[attr-defined]
            if port["PublishedPort"]:
                scheme = SCHEMES.get(port["TargetPort"], "http")
                url = f"{scheme}://{port['URL']}:{port['PublishedPort']}"
                print(f"{container['Service']:22} {health:10} {url}")


def demo(compose: Compose) -> None:
    """The demo's experiment through the containers; its report is copied to .bakeoff/compose/reports."""
    up(compose)
    compose.run("run", "--rm", "--no-TTY", "cli", "run", "experiments/digits.yaml", *overrides())
    reports(compose)


def reports(compose: Compose) -> None:
    """Copies what the command reported to .bakeoff/compose/reports, and prints where each experiment's page is."""
    target = KEPT / "reports"
    compose.copy_out("cli", REPORTS, target)
    for page in sorted(target.glob("*/report.html")):
        print(f"report: {page}")


def bakeoff(words: list[str]) -> None:
    """`bakeoff WORDS…` in a container; ends this process with its status."""
    terminal = [] if sys.stdin.isatty() else ["--no-TTY"]
    Compose.that_is_up().run("run", "--rm", *terminal, "cli", *words)


def overrides() -> list[str]:
    """What ARGS adds to the experiment, for example ARGS="--set seeds=[0]"."""
    return os.environ.get("ARGS", "").split()


def main() -> None:
    """The command line."""
    if sys.argv[1:2] == ["bakeoff"]:
        # Before argparse, which would take options of the command for its own.
        bakeoff(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python deploy/compose.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("up", "down", "demo", "urls", "reports", "bakeoff"))
    parser.add_argument("layers", nargs="*", metavar="LAYER", help=", ".join(LAYERS))
    options = parser.parse_args()
    if unknown := sorted(set(options.layers) - set(LAYERS)):
        parser.error(f"unknown layers {', '.join(unknown)}; known: {', '.join(LAYERS)}")
    if options.action == "reports":
        if options.layers:
            parser.error("reports takes no layers: it goes by what is up")
        reports(Compose.that_is_up())
        return
    if options.action == "down":
        # Every layer, so that nothing of one that is not named now stays behind. Volumes stay.
        # Every layer's variables have to be there, whatever they say.
        os.environ["BAKEOFF_DATASETS"] = os.environ.get("BAKEOFF_DATASETS") or "."
        Compose.of_layers(LAYERS).run("--profile", "*", "down", "--remove-orphans")
        (KEPT / UP).unlink(missing_ok=True)
        return
    {"up": up, "demo": demo, "urls": urls}[options.action](Compose.of_layers(options.layers))


if __name__ == "__main__":
    main()
