"""What the builds are made of, without an engine."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import images
from deploy.images import IMAGES, INPUTS, Builder, builder_from_environment, code_tag, content_tag

ROOT = Path(__file__).parents[3]
DOCKERFILES = sorted((ROOT / "deploy/docker").glob("*.Dockerfile"))
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("name", IMAGES)
def test_every_image_has_a_dockerfile_that_knows_its_arguments_and_extras(name: str) -> None:
    image = IMAGES[name]
    text = (ROOT / f"deploy/docker/{image.file}.Dockerfile").read_text()
    assert {f"ARG {argument}=" in text for argument in image.arguments} <= {True}
    asked = re.findall(r"install.py lock (.+)", text)[0]
    for argument, value in image.arguments.items():
        asked = asked.replace(f"${{{argument}}}", value)
    assert {part for word in asked.split() for part in word.split(",")} <= EXTRAS.keys()


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_a_dockerfile_keeps_to_the_frame_all_share(path: Path) -> None:
    text = path.read_text()
    first, frame = text.index("FROM scratch AS wheels"), DOCKERFILES[0].read_text()
    assert text[first : text.index("FROM build AS locked")] in frame
    application = text[text.index("# The project itself.") : text.index("FROM ${BASE} AS final")]
    assert application in frame
    assert text.index("install.py dependencies") < text.index("COPY core")
    assert "\nUSER 1000:1000\n" in text
    assert re.search(r'^ENTRYPOINT \["python"', text, re.M)


def test_the_tag_depends_on_the_content_alone() -> None:
    assert content_tag() == content_tag()
    assert content_tag("cuda") == f"{content_tag()}-cuda"
    assert re.fullmatch(r"\d+\.\d+\.\d+-[0-9a-f]{12}", content_tag())
    assert code_tag("cuda") == f"{code_tag()}-cuda"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What builds are told, in a folder of its own."""
    for name in INPUTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr("deploy.images.ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "changed", ["deploy/images.py", "deploy/docker/cli.Dockerfile", "constraints.txt", ".dockerignore"]
)
def test_what_a_build_is_told_changes_the_tag(changed: str, checkout: Path) -> None:
    before = content_tag(), code_tag()
    (checkout / changed).write_text((ROOT / changed).read_text().replace("EXTRA", "OTHER") + "\n")
    assert not {content_tag(), code_tag()} & {*before}


def test_everything_a_dockerfile_copies_is_in_the_tag() -> None:
    copied = {
        name
        for path in DOCKERFILES
        for line in re.findall(r"^COPY (?!--from)(.+)$", path.read_text(), re.M)
        for name in line.split()[:-1]
    }
    hashed = {*INPUTS, *images.PACKAGES, images.EXPERIMENTS}
    assert {name for name in copied if name not in hashed} == {"deploy/docker/install.py"}
    assert "deploy/docker" in hashed
    assert [path.stem for path in DOCKERFILES if "COPY experiments" in path.read_text()] == ["cli"]


def test_an_experiment_more_changes_the_tag_and_not_that_of_the_code(checkout: Path) -> None:
    before, code = content_tag(), code_tag()
    (checkout / "experiments").mkdir()
    (checkout / "experiments/mine.yaml").write_text("name: mine")
    assert content_tag() != before
    assert code_tag() == code


@pytest.mark.parametrize(("image", "built"), [("cli", True), ("cli-tracking", True), ("evaluator", False)])
def test_an_experiment_more_is_built_into_the_images_of_the_command_alone(
    image: str, built: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, here = list[tuple[str, ...]](), {f"bakeoff/{image}:{code_tag()}"}

    def docker(*arguments: str, say: str) -> None:
        told.append(arguments[:1])
        here.add(arguments[arguments.index("--tag") + 1] if arguments[0] == "buildx" else arguments[-1])

    monkeypatch.setattr("deploy.images.size", lambda name: int(name in here))
    monkeypatch.setattr("deploy.images._docker", docker)
    Builder("bakeoff", content_tag()).build(image)
    assert ("buildx",) in told if built else ("buildx",) not in told
    assert here == {f"bakeoff/{image}:{tag}" for tag in (content_tag(), code_tag(), "dev")}


@pytest.mark.parametrize("rebuild", [False, True])
def test_what_exists_is_built_and_listed_again_only_on_request(
    rebuild: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another base image or other wheels leave the tag as it is."""
    built = list[str]()

    def docker(*arguments: str, say: str) -> None:
        if arguments[0] == "buildx":
            built.append(say)
        if "sbom" in arguments:
            Path(arguments[-2].partition("dest=")[2], "sbom.cdx.json").write_text("new")

    monkeypatch.setattr("deploy.images.size", lambda name: 1)
    monkeypatch.setattr("deploy.images._docker", docker)
    monkeypatch.setattr("deploy.images.ROOT", tmp_path)
    monkeypatch.setattr("deploy.images.SBOMS", tmp_path)
    monkeypatch.setattr("deploy.images.version", lambda: "1")
    monkeypatch.setenv("BAKEOFF_BUILD_NETWORK", "default")
    listed = tmp_path / "cli-1.cdx.json"
    listed.write_text("old")
    monkeypatch.setattr("sys.argv", ["images.py", "build", "cli", "--tag", "1", *["--rebuild"] * rebuild])
    images.main()
    assert built == (["cli", "cli (SBOM)"] if rebuild else [])
    assert not capsys.readouterr().err, "it has a name of its own"
    assert listed.read_text() == ("new" if rebuild else "old")


def test_a_rebuild_under_the_same_tag_says_that_others_keep_what_they_have(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("deploy.images.size", lambda name: 1)
    monkeypatch.setattr("deploy.images._docker", lambda *arguments, say: None)
    monkeypatch.setenv("BAKEOFF_BUILD_NETWORK", "default")
    monkeypatch.setattr("sys.argv", ["images.py", "build", "cli", "--rebuild", "--no-sbom"])
    images.main()
    assert f"{content_tag()} stays the tag" in capsys.readouterr().err


def test_wheels_and_base_image_leave_the_tag_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The page says so; whoever changes it, changes the page."""
    monkeypatch.setenv("BAKEOFF_BUILD_NETWORK", "default")
    before = builder_from_environment("bakeoff", "", "cpu").tag
    (tmp_path / "torch-9-py3-none-any.whl").write_bytes(b"another")
    monkeypatch.setenv("BAKEOFF_WHEELS", str(tmp_path))
    assert builder_from_environment("bakeoff", "", "cpu").tag == before


@pytest.mark.parametrize(("device", "newest"), [("cpu", "dev"), ("cuda", "dev-cuda")])
def test_a_gpu_variant_takes_no_tag_that_compose_uses(
    device: str, newest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[tuple[str, ...]]()
    monkeypatch.setattr("deploy.images.size", lambda name: 1)
    monkeypatch.setattr("deploy.images._docker", lambda *arguments, say: told.append(arguments))
    Builder("bakeoff", content_tag(device), device).build("trainer-keras")
    known = f"bakeoff/trainer-keras:{code_tag(device)}"
    assert told == [("tag", known, f"bakeoff/trainer-keras:{other}") for other in (content_tag(device), newest)]


@pytest.mark.parametrize(
    ("tag", "there", "newest"), [("0.0.1", True, False), ("0.0.1", False, True), (content_tag(), True, True)]
)
def test_an_image_that_stands_under_another_tag_does_not_become_the_newest(
    tag: str, there: bool, newest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, sizes = list[tuple[str, ...]](), iter((int(there), 1))
    monkeypatch.setattr("deploy.images.size", lambda name: next(sizes))
    monkeypatch.setattr("deploy.images._docker", lambda *arguments, say: told.append(arguments))
    Builder("bakeoff", tag).build("cli")
    assert (told[-1:] == [("tag", f"bakeoff/cli:{tag}", "bakeoff/cli:dev")]) is newest
    assert [each for each in told if "tag" in each[:1] and each[-1] != "bakeoff/cli:dev"] == (
        [("tag", f"bakeoff/cli:{tag}", f"bakeoff/cli:{code_tag()}")] if tag == content_tag() else []
    )


@pytest.mark.parametrize("writes", [False, True])
def test_a_build_reads_and_writes_the_cache_it_is_told(writes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told, sizes = list[tuple[str, ...]](), iter((0, 1))
    monkeypatch.setattr("deploy.images.size", lambda name: next(sizes))
    monkeypatch.setattr("deploy.images._docker", lambda *arguments, say: told.append(arguments))
    monkeypatch.setenv("BAKEOFF_BUILD_CACHE", "registry.example/cache")
    monkeypatch.setenv("BAKEOFF_BUILD_CACHE_WRITE", str(writes).lower())
    monkeypatch.setenv("BAKEOFF_BUILD_NETWORK", "default")
    builder_from_environment("bakeoff", "1", "cpu").build("cli")
    build = told[0]
    assert build[build.index("--cache-from") + 1] == "type=registry,ref=registry.example/cache:cli"
    assert ("--cache-to" in build) is writes
    if writes:
        cache = "type=registry,ref=registry.example/cache:cli,mode=max,ignore-error=true"
        assert build[build.index("--cache-to") + 1] == cache


def test_the_list_of_parts_takes_no_place_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It builds another target, whose layers would be kept instead of the image's."""
    told = list[tuple[str, ...]]()

    def write(*arguments: str, say: str) -> None:
        told.append(arguments)
        Path(arguments[-2].partition("dest=")[2], "sbom.cdx.json").write_text("{}")

    monkeypatch.setattr("deploy.images._docker", write)
    monkeypatch.setattr("deploy.images.SBOMS", tmp_path)
    Builder("bakeoff", "1", cache="registry.example/cache", writes_cache=True).sbom("cli")
    assert "--cache-from" in told[0]
    assert "--cache-to" not in told[0]


WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
BUILD = WORKFLOW["jobs"]["build"]


def numbers(job: dict[str, Any], *words: str) -> list[int]:
    """Of the one step of a job that runs each of these words, its number."""
    found = [[number for number, step in enumerate(job["steps"]) if word in step.get("run", "")] for word in words]
    assert [len(each) for each in found] == [1] * len(words)
    return [each[0] for each in found]


def test_the_workflow_builds_and_probes_every_image_before_it_uploads_it_variants_included() -> None:
    assert set(BUILD["strategy"]["matrix"]["image"]) == IMAGES.keys()
    built, probed, uploaded = numbers(BUILD, "images.py build", "test_containers_images.py", "docker push")
    assert built < probed < uploaded
    assert BUILD["steps"][probed]["env"] == {"BAKEOFF_TEST_ALL_IMAGES": "1"}


def test_the_workflow_publishes_a_version_when_every_image_is_there_and_not_image_by_image(tmp_path: Path) -> None:
    """The step of the job runs here, with a program that writes down what Docker is told."""
    assert "GITHUB_REF_NAME" not in str(BUILD)
    publish = WORKFLOW["jobs"]["publish"]
    (number,) = numbers(publish, "imagetools create")
    (uploaded,) = numbers(BUILD, "docker push")
    assert publish["needs"] == "build"
    assert publish["if"] == BUILD["steps"][uploaded]["if"] == "startsWith(github.ref, 'refs/tags/v')"
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\n[ "$1" = login ] || echo "$@"\n')
    docker.chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    told = {"PATH": f"{tmp_path}:/usr/bin:/bin", "GITHUB_REPOSITORY": "Some/Fork", "GITHUB_REF_NAME": "v1.2.3"}
    script = publish["steps"][number]["run"]
    done = subprocess.run(["bash", "-ec", script], cwd=ROOT, env=told, capture_output=True, text=True, check=True)
    name = "ghcr.io/some/fork/{0}"
    assert done.stdout.splitlines() == [
        f"buildx imagetools create --prefer-index=false --tag {name}:1.2.3 {name}:{content_tag()}".format(image)
        for image in IMAGES
    ]


@pytest.mark.parametrize(("image", "tests"), [("tracking", {"mlflow_answers", "mlflow_has"}), ("cli", set())])
def test_the_workflows_probe_takes_the_tests_of_every_image_and_those_of_this_one(image: str, tests: set[str]) -> None:
    (number,) = numbers(BUILD, "test_containers_images.py")
    probe = BUILD["steps"][number]
    command = probe["run"].strip().splitlines()[-1].replace("python", shlex.quote(sys.executable), 1)
    told = {**os.environ, **probe["env"], "IMAGE": image}
    said = subprocess.run(
        ["bash", "-ec", f"{command} --collect-only --quiet -p no:cacheprovider"],
        cwd=ROOT,
        env=told,
        capture_output=True,
    ).stdout.decode()
    found = re.findall(r"::test_(\w+)(.*)", said)
    assert {parameter for _, parameter in found} == {f"[{image}]"}
    special = {"mlflow_answers", "mlflow_has", "sbom", "refuses_to_listen"}
    assert {word for word in special if any(word in name for name, _ in found)} == tests
    assert len(found) == 2 + len(tests)


def test_the_workflow_writes_its_cache_for_what_is_pushed_only() -> None:
    (build,) = (step for step in BUILD["steps"] if "images.py build" in step.get("run", ""))
    assert build["env"] == {"BAKEOFF_BUILD_CACHE_WRITE": "${{ github.event_name == 'push' }}"}
    assert BUILD["permissions"] == {"contents": "read", "packages": "write"}


def test_every_action_is_pinned_to_a_commit_and_says_which_release_that_is() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    used = re.findall(r"uses: *(.+)", text)
    assert len(used) == sum("uses" in step for job in WORKFLOW["jobs"].values() for step in job["steps"]) > 0
    assert [line for line in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
    # One release of each action, so that none is forgotten when it is renewed.
    assert len(set(used)) == len({line.partition("@")[0] for line in used})
