"""What the actions of the Compose deployment tell Docker, and what they do with its answers.

Docker is a stand-in here, a program of that name on the PATH: with an engine all this takes minutes, and its failures
cannot be had at will. The system tests have the real one.
"""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from deploy import compose

DOCKER = f"""#!{sys.executable}
import io, json, os, sys, tarfile
words, folder = sys.argv[1:], os.path.dirname(sys.argv[0])
with open(folder + "/told", "a") as told:
    told.write(json.dumps([os.environ.get("BAKEOFF_TAG", ""), *words]) + "\\n")
if os.path.exists(folder + "/broken") and open(folder + "/broken").read() in words:
    sys.exit("something is wrong") if "ps" in words or "version" in words else sys.exit(7)
if "config" in words:
    tag = os.environ.get("BAKEOFF_TAG", "dev")
    images = {{name: {{"image": f"bakeoff/{{name}}:{{tag}}"}} for name in ("cli", "evaluator")}}
    print(json.dumps({{"services": images}}))
elif words[0] == "version":
    print(open(folder + "/engine").read())
elif "ps" in words:
    print(open(folder + "/containers").read())
elif words[:2] == ["image", "inspect"]:
    if os.path.exists(folder + "/absent") and open(folder + "/absent").read() in words[-1]:
        sys.exit("no such image")
    print(1000)
elif "--entrypoint" in words:
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        page = tarfile.TarInfo("digits/report.html")
        page.size = 4
        archive.addfile(page, io.BytesIO(b"page"))
"""
CONTAINERS = (
    {"Service": "tracking", "State": "running", "Health": "", "Publishers": None},
    {
        "Service": "evaluator",
        "State": "running",
        "Health": "healthy",
        "Publishers": [
            {"URL": "127.0.0.1", "TargetPort": 7105, "PublishedPort": 7105},
            {"URL": "", "TargetPort": 8105, "PublishedPort": 0},
        ],
    },
    {
        "Service": "grafana",
        "State": "running",
        "Health": "",
        "Publishers": [{"URL": "127.0.0.1", "TargetPort": 3000, "PublishedPort": 3001}],
    },
)


class Docker:
    """The stand-in's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def told(self) -> list[tuple[str, list[str], list[str]]]:
        """Of every `docker compose`: the tag in its environment, names of the files, the words behind them."""
        found = []
        for line in (self.folder / "told").read_text().splitlines():
            tag, *words = json.loads(line)
            if words[0] == "compose":
                last = max(number for number, word in enumerate(words) if word == "--file") + 2
                found.append((tag, [Path(name).name for name in words[2:last:2]], words[last:]))
        return found

    def others(self) -> list[list[str]]:
        """The first two words of every other command: builds, tags, questions about images."""
        told = [json.loads(line)[1:3] for line in (self.folder / "told").read_text().splitlines()]
        return [words for words in told if words[0] not in ("compose", "network", "version")]

    def breaks(self, word: str) -> None:
        """From now on commands with this word fail."""
        (self.folder / "broken").write_text(word)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    (tmp_path / "engine").write_text("1.44 25.0.0")
    (tmp_path / "containers").write_text("\n".join(map(json.dumps, CONTAINERS)))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(compose, "KEPT", tmp_path / "kept")
    monkeypatch.setenv("BAKEOFF_DATASETS", str(tmp_path))
    for name in ("BAKEOFF_TAG", "BAKEOFF_REGISTRY", "BAKEOFF_COMPOSE_OVERRIDE", "ARGS"):
        monkeypatch.delenv(name, raising=False)
    return Docker(tmp_path)


class Call:
    """The command line."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, *words: str) -> None:
        self._monkeypatch.setattr(sys, "argv", ["compose.py", *words])
        compose.main()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, docker: Docker) -> Call:
    return Call(monkeypatch)


UP = ["up", "--detach", "--wait", "--wait-timeout", str(compose.WAIT_S), "--remove-orphans"]
ADDRESSES = (
    f"{'evaluator':22} {'healthy':10} grpc://127.0.0.1:7105\n{'grafana':22} {'running':10} http://127.0.0.1:3001\n"
)


def test_up_builds_starts_the_layers_and_prints_every_published_address(
    docker: Docker, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    call("up", "tracking", "s3")
    files = ["compose.yaml", "compose.tracking.yaml", "compose.s3.yaml"]
    tag = compose.images.code_tag()
    asked, *done = docker.told()
    assert asked == ("", files, ["--profile", "*", "config", "--format", "json"])
    assert done == [(tag, files, UP), (tag, files, ["ps", "--format", "json"])]
    said = capsys.readouterr().out
    assert f"bakeoff/cli:{compose.images.content_tag()}: 0 MB of 500\n" in said
    assert said.endswith(ADDRESSES)


def test_an_older_tag_that_is_here_is_started_and_nothing_else_is_named_anew(
    docker: Docker, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEOFF_TAG", "0.0.1")
    call("up")
    assert [(tag, words[0]) for tag, _, words in docker.told()[1:]] == [("0.0.1", "up"), ("0.0.1", "ps")]
    assert docker.others() == [["image", "inspect"], ["image", "inspect"]]
    assert "BAKEOFF_TAG=0.0.1\n" in (docker.folder / "kept/up.env").read_text()


def test_an_older_tag_with_an_image_missing_starts_nothing_and_says_what_to_do(
    docker: Docker, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEOFF_TAG", "0.0.1")
    (docker.folder / "absent").write_text("evaluator")
    with pytest.raises(
        SystemExit, match=r"^BAKEOFF_TAG=0\.0\.1: not here are bakeoff/evaluator:0\.0\.1, .*make images"
    ):
        call("up")
    assert [words[-3] for _, _, words in docker.told()] == ["config"]
    assert docker.others() == [["image", "inspect"], ["image", "inspect"]]
    assert not (docker.folder / "kept").exists()


def test_what_does_not_become_healthy_ends_up_with_dockers_status(docker: Docker, call: Call) -> None:
    docker.breaks("up")
    with pytest.raises(SystemExit) as ended:
        call("up")
    assert ended.value.code == 7
    assert docker.told()[-1][2] == UP


@pytest.mark.parametrize("action", ["up", "demo"])
@pytest.mark.parametrize("engine", ["1.43 24.0.7", "1.41 20.10.24+dfsg1"])
def test_an_engine_that_is_too_old_is_told_before_anything_is_built_or_started(
    engine: str, action: str, docker: Docker, call: Call
) -> None:
    (docker.folder / "engine").write_text(engine)
    api, version = engine.split()
    with pytest.raises(SystemExit, match=rf"{re.escape(version)}, with API {api}: Docker Engine 25 or newer is needed"):
        call(action)
    assert [json.loads(line)[1] for line in (docker.folder / "told").read_text().splitlines()] == ["version"]


def test_no_engine_is_told_in_dockers_words(docker: Docker, call: Call) -> None:
    docker.breaks("version")
    with pytest.raises(SystemExit, match="something is wrong"):
        call("up")


def test_urls_asks_and_starts_nothing(docker: Docker, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    call("urls", "observability")
    assert docker.told() == [("", ["compose.yaml", "compose.observability.yaml"], ["ps", "--format", "json"])]
    assert capsys.readouterr().out == ADDRESSES


def test_urls_says_what_docker_says_where_it_fails(docker: Docker, call: Call) -> None:
    docker.breaks("ps")
    with pytest.raises(SystemExit, match="something is wrong"):
        call("urls")


def test_the_demo_runs_its_experiment_and_copies_the_reports_out(
    docker: Docker, call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ARGS", "--set seeds=[0]")
    call("demo", "openvino")
    files, tag = ["compose.yaml", "compose.openvino.yaml"], compose.images.code_tag()
    *_, experiment, copied = docker.told()
    words = ["run", "--rm", "--no-TTY", "cli", "run", "experiments/digits.yaml", "--set", "seeds=[0]"]
    assert experiment == (tag, files, words)
    assert copied[2][-1] == "/home/bakeoff/reports"
    report = docker.folder / "kept/reports/digits/report.html"
    assert report.read_bytes() == b"page"
    assert f"report: {report}\n" in capsys.readouterr().out


def test_reports_are_copied_out_of_what_is_up(docker: Docker, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    call("up", "tracking")
    capsys.readouterr()
    call("reports")
    tag, files, words = docker.told()[-1]
    assert (tag, files) == (compose.images.code_tag(), ["compose.yaml", "compose.tracking.yaml"])
    assert words[:2] == ["run", "--rm"]
    assert words[-1] == "/home/bakeoff/reports"
    report = docker.folder / "kept/reports/digits/report.html"
    assert report.read_bytes() == b"page"
    assert capsys.readouterr().out == f"report: {report}\n"


def test_reports_say_that_there_are_none(docker: Docker, call: Call) -> None:
    """The container ends without an archive; its own words are on the terminal."""
    with pytest.raises(SystemExit, match="nothing is up"):
        call("reports")
    call("up")
    docker.breaks("--entrypoint")
    with pytest.raises(SystemExit, match=r"/home/bakeoff/reports could not be copied out of cli; .* above"):
        call("reports")


def test_what_runs_in_the_container_archives_a_folder_or_says_that_it_is_missing(
    docker: Docker, call: Call, tmp_path: Path
) -> None:
    call("demo")
    words = docker.told()[-1][2]
    code, folder = words[words.index("-c") + 1], tmp_path / "reports"
    missing = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert (missing.returncode, missing.stdout, missing.stderr) == (1, "", f"nothing is in {folder}\n")
    (folder / "digits").mkdir(parents=True)
    archived = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        assert "./digits" in archive.getnames()


def test_reports_take_no_layers(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call("reports", "tracking")
    assert "reports takes no layers: it goes by what is up" in capsys.readouterr().err


def test_the_command_runs_with_the_layers_and_images_that_are_up(
    docker: Docker, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    override = docker.folder / "override.yaml"
    monkeypatch.setenv("BAKEOFF_COMPOSE_OVERRIDE", str(override))
    call("up", "tracking")
    monkeypatch.delenv("BAKEOFF_COMPOSE_OVERRIDE")
    call("bakeoff", "--help")
    call("bakeoff", "promote", "a-model", "--as", "digits")
    files = ["compose.yaml", "compose.tracking.yaml", "override.yaml"]
    tag = compose.images.code_tag()
    start = ["run", "--rm", "--no-TTY", "cli"]
    assert [(told[1], told[2]) for told in docker.told()[-2:]] == [
        (files, [*start, "--help"]),
        (files, [*start, "promote", "a-model", "--as", "digits"]),
    ]
    assert {told[0] for told in docker.told()[-2:]} == {tag}
    docker.breaks("cli")
    with pytest.raises(SystemExit) as ended:
        call("bakeoff", "models")
    assert ended.value.code == 7


def test_plain_docker_compose_finds_the_same_by_two_variables(docker: Docker, call: Call) -> None:
    call("up", "s3")
    kept = dict(line.split("=", 1) for line in (docker.folder / "kept/up.env").read_text().splitlines())
    assert kept == {
        "COMPOSE_FILE": f"{compose.FOLDER / 'compose.yaml'}:{compose.FOLDER / 'compose.s3.yaml'}",
        "BAKEOFF_TAG": compose.images.code_tag(),
    }


def test_the_command_says_how_to_start_what_is_not_up(docker: Docker, call: Call) -> None:
    with pytest.raises(SystemExit, match=r"nothing is up .*make up COMPOSE=1"):
        call("bakeoff", "models")


def test_down_stops_every_layer_and_forgets_them(docker: Docker, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call("up", "tracking")
    docker.breaks("down")
    with pytest.raises(SystemExit):
        call("down")
    assert (docker.folder / "kept/up.env").exists()
    docker.breaks("nothing")
    monkeypatch.setenv("BAKEOFF_DATASETS", "")
    call("down")
    assert os.environ["BAKEOFF_DATASETS"], "the layer data is refused without a folder"
    _, files, words = docker.told()[-1]
    assert files == [Path(name).name for name in compose.files_of(compose.LAYERS)]
    assert words == ["--profile", "*", "down", "--remove-orphans"]
    with pytest.raises(SystemExit, match="nothing is up"):
        call("bakeoff", "models")


def test_an_unknown_layer_lists_the_known_ones(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call("up", "mlflow")
    assert f"unknown layers mlflow; known: {', '.join(compose.LAYERS)}" in capsys.readouterr().err
