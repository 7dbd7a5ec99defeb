"""Which images the Compose deployment takes, without an engine."""

import pytest

from deploy import compose


class Told(compose.Compose):
    """A Compose that has read these images, and remembers what it was told to do."""

    def __init__(self, registry: str, tag: str) -> None:
        super().__init__([])
        self.images = {name: f"{registry}/{name}:{tag}" for name in ("cli", "evaluator")} | {"s3": "other/server:3.97"}
        self.done: list[tuple[str, ...]] = []

    def services(self) -> dict[str, str]:
        return self.images

    def run(self, *arguments: str) -> None:
        self.done.append(arguments)

    @property
    def tag(self) -> str:
        return self._environment["BAKEOFF_TAG"]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Full names of the images that were asked for."""
    names: list[str] = []
    monkeypatch.setenv("BAKEOFF_BUILD_NETWORK", "host")
    monkeypatch.setattr(compose.images.Builder, "build", lambda self, image: names.append(self.name(image)))
    return names


@pytest.mark.parametrize(("tag", "pulled"), [("dev", compose.images.version()), ("1.2.3", "1.2.3")])
def test_with_a_registry_the_projects_version_is_pulled_unless_a_tag_is_set(
    tag: str, pulled: str, built: list[str]
) -> None:
    told = Told("registry.example:5000/team/bakeoff", tag)
    compose.get_images(told)
    assert told.tag == pulled
    assert told.done == [("--profile", "*", "pull", "--policy", "missing")]
    assert not built


@pytest.mark.parametrize("tag", ["dev", compose.images.content_tag(), compose.images.code_tag()])
def test_without_a_registry_the_content_is_built(tag: str, built: list[str]) -> None:
    """And runs under the tag that a new experiment leaves as it is: no container is made anew for that."""
    told = Told("bakeoff", tag)
    compose.get_images(told)
    name = compose.images.content_tag()
    assert told.tag == compose.images.code_tag()
    assert built == [f"bakeoff/cli:{name}", f"bakeoff/evaluator:{name}"]
    assert not told.done


def test_an_older_tag_is_taken_as_it_is_and_never_built(built: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose.images, "size", lambda name: 1)
    told = Told("bakeoff", "1.2.3")
    compose.get_images(told)
    assert told.tag == "1.2.3"
    assert not built
    assert not told.done


def test_the_workflow_publishes_the_version_that_is_pulled() -> None:
    workflow = (compose.FOLDER.parent / ".github/workflows/ci.yml").read_text()
    assert '--tag "$name:${GITHUB_REF_NAME#v}"' in workflow
    assert 'tags: ["v*"]' in workflow


def test_what_s3_changes_of_another_layer_comes_last_and_only_where_both_are() -> None:
    assert compose.files_of(["openvino", "data"]) == ["compose.yaml", "compose.openvino.yaml", "compose.data.yaml"]
    both = ["compose.yaml", "compose.s3.yaml", "compose.openvino.yaml", "s3/openvino.yaml"]
    assert compose.files_of(["s3", "openvino"]) == both
    assert {path.stem for path in (compose.FOLDER / "s3").glob("*.yaml")} <= {*compose.LAYERS}
