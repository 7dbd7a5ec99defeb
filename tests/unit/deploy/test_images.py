"""What the builds are made of, without an engine."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from deploy import images
from deploy.images import IMAGES, INPUTS, Builder, builder_from_environment, content_tag

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


@pytest.mark.parametrize("changed", ["deploy/images.py", "deploy/docker/cli.Dockerfile", "constraints.txt"])
def test_what_a_build_is_told_changes_the_tag(changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in INPUTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr("deploy.images.ROOT", tmp_path)
    before = content_tag()
    (tmp_path / changed).write_text((ROOT / changed).read_text().replace("EXTRA", "OTHER") + "\n")
    assert content_tag() != before


@pytest.mark.parametrize("rebuild", [False, True])
def test_what_exists_is_built_and_listed_again_only_on_request(
    rebuild: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another base image or other wheels leave the tag as it is."""
    built = list[str]()

    def docker(*arguments: str, say: str) -> None:
        if arguments[0] == "buildx":
            built.append(say)
        if "sbom" in arguments:
            Path(arguments[-2].partition("dest=")[2], "sbom.cdx.json").write_text("new")

    monkeypatch.setattr("deploy.images._size", lambda name: 1)
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
    assert listed.read_text() == ("new" if rebuild else "old")


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
    monkeypatch.setattr("deploy.images._size", lambda name: 1)
    monkeypatch.setattr("deploy.images._docker", lambda *arguments, say: told.append(arguments))
    Builder("bakeoff", content_tag(device), device).build("trainer-keras")
    assert told == [("tag", f"bakeoff/trainer-keras:{content_tag(device)}", f"bakeoff/trainer-keras:{newest}")]


@pytest.mark.parametrize("writes", [False, True])
def test_a_build_reads_and_writes_the_cache_it_is_told(writes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told, sizes = list[tuple[str, ...]](), iter((0, 1))
    monkeypatch.setattr("deploy.images._size", lambda name: next(sizes))
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


def test_the_workflow_builds_probes_and_publishes_every_image_variants_included() -> None:
    assert set(BUILD["strategy"]["matrix"]["image"]) == IMAGES.keys()
    steps = [step.get("run", "") for step in BUILD["steps"]]
    (built,) = (number for number, step in enumerate(steps) if "images.py build" in step)
    (probed,) = (number for number, step in enumerate(steps) if "test_containers_images.py" in step)
    (published,) = (number for number, step in enumerate(steps) if "docker push" in step)
    assert built < probed < published
    assert BUILD["steps"][probed]["env"] == {"BAKEOFF_TEST_ALL_IMAGES": "1"}


def test_the_workflow_writes_its_cache_for_what_is_pushed_only() -> None:
    (build,) = (step for step in BUILD["steps"] if "images.py build" in step.get("run", ""))
    assert build["env"] == {"BAKEOFF_BUILD_CACHE_WRITE": "${{ github.event_name == 'push' }}"}
    assert BUILD["permissions"] == {"contents": "read", "packages": "write"}


def test_every_action_is_pinned_to_an_exact_release() -> None:
    used = {step["uses"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "uses" in step}
    assert used
    assert {name for name in used if not re.fullmatch(r"[\w./-]+@v\d+\.\d+\.\d+", name)} == set()
