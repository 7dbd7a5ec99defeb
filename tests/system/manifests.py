"""What kustomize makes of the base and of every overlay with every choice of components, made once for all tests."""

import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy/k8s"
COMPONENTS = sorted(path.name for path in (K8S / "components").iterdir())
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
STORAGE = ("persistence", "s3")
BASE = "base"
OLDEST, NEWEST = "1.27", "1.34"
"""API versions everything is valid for; the manifests use nothing younger than native gRPC probes."""
OPTIONAL = sorted(set(COMPONENTS) - set(STORAGE))
ORDER = ["persistence", *(name for name in OPTIONAL if name != "tls"), "s3", "tls"]
"""In which components are named: `s3` and `tls` behind everything they change."""
WORKLOADS = ("Deployment", "StatefulSet", "Job")
OF_SERVICE = ("model", "minReplicas", "maxReplicas")
"""What a predictor of KServe has besides the fields of its pods."""

Document = dict[str, Any]
Combinations = dict[str, list[Document]]


@lru_cache
def kustomize() -> tuple[str, ...]:
    """The command that renders; skips the test where there is none, or one too old for components."""
    for command in (("kustomize", "build"), ("kubectl", "kustomize")):
        if not shutil.which(command[0]):
            continue
        if command[0] == "kustomize":
            return command
        said = subprocess.run(["kubectl", "version", "--client", "--output", "json"], capture_output=True, text=True)
        found = re.search(r'"minor":\s*"(\d+)', said.stdout)
        if found and int(found[1]) >= 27:
            return command
    pytest.skip("neither kustomize nor kubectl 1.27 or newer is installed")


def render(folder: Path, command: tuple[str, ...]) -> list[Document]:
    # Each build ends before collecting garbage pays.
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, env={**os.environ, "GOGC": "off"})
    assert done.returncode == 0, f"{folder}: {done.stderr}"
    # libyaml reads the many manifests several times faster than Python does.
    return [
        document for document in yaml.load_all(done.stdout, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if document
    ]


def is_additive(component: str) -> bool:
    """Whether a component only brings documents of its own and so changes no other: its patches, if any, only test."""
    listed = yaml.safe_load((K8S / "components" / component / "kustomization.yaml").read_text())
    patches = [yaml.safe_load(each.get("patch", "{}")) for each in listed.pop("patches", [])]
    changes = any(not isinstance(steps, list) or {step["op"] for step in steps} != {"test"} for steps in patches)
    return not changes and listed.keys() <= {"apiVersion", "kind", "resources", "configMapGenerator"}


ADDITIVE = [name for name in OPTIONAL if is_additive(name)]
CHANGING = [name for name in OPTIONAL if name not in ADDITIVE]
PARTS = (BASE, *OVERLAYS)


def subsets(names: list[str]) -> Iterator[tuple[str, ...]]:
    """Every choice of some of the names, in their order."""
    for count in range(len(names) + 1):
        yield from itertools.combinations(names, count)


def name_of(part: str, storage: str, chosen: Iterable[str]) -> str:
    """What a combination is called."""
    return f"{part} with {', '.join((storage, *sorted(chosen)))}"


def build_all(wanted: Iterable[tuple[str, str, tuple[str, ...]]]) -> Combinations:
    """What kustomize makes of combinations of a part, a storage and components, by name, each with the experiment.

    As a user does it: the overlay's own file, with these components in place of those it lists.
    """
    command = kustomize()
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        tree = Path(shutil.copytree(K8S, Path(scratch, "k8s")))
        folders = {name_of(*each): _write(tree, number, *each) for number, each in enumerate(wanted)}
        rendered = pool.map(lambda folder: render(folder, command), folders.values())
        return dict(zip(folders, rendered, strict=True))


def _write(tree: Path, number: int, part: str, storage: str, chosen: tuple[str, ...]) -> Path:
    folder = tree / "overlays" / f"{part}-{number}"
    if part == BASE:
        folder.mkdir()
        content: Document = {"namespace": "bakeoff", "resources": ["../../base"]}
    else:
        shutil.copytree(K8S / "overlays" / part, folder)
        content = yaml.safe_load((folder / "kustomization.yaml").read_text())
    content["resources"] = [*content["resources"], "../../experiment"]
    content["components"] = [f"../../components/{name}" for name in sorted((storage, *chosen), key=ORDER.index)]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return folder


@lru_cache
def own_documents() -> dict[tuple[str, str], str]:
    """Kind and name of every document that an additive component brings, with the component."""
    found = {}
    command = kustomize()
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(shutil.copytree(K8S, Path(scratch, "k8s")))
        for component in ADDITIVE:
            folder = tree / component
            folder.mkdir()
            content = {"components": [f"../components/{component}"]}
            (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
            found |= {key(document): component for document in render(folder, command)}
    return found


def key(document: Document) -> tuple[str, str]:
    """Kind and name of a document."""
    return document["kind"], document["metadata"]["name"]


@lru_cache
def built() -> Combinations:
    """The overlays as they are, the experiment alone, and everything with every choice of the components that change
    others, and with all of those that only add."""
    shipped = {"experiment": K8S / "experiment"} | {f"overlay {name}": K8S / "overlays" / name for name in OVERLAYS}
    choices = itertools.product(PARTS, STORAGE, subsets(CHANGING))
    found = build_all((part, storage, (*changing, *ADDITIVE)) for part, storage, changing in choices)
    found |= {name: render(folder, kustomize()) for name, folder in shipped.items()}
    same: dict[str, Document] = {}
    return {
        name: [same.setdefault(json.dumps(each, sort_keys=True), each) for each in documents]
        for name, documents in found.items()
    }


def distinct(combinations: Combinations) -> list[Document]:
    """Every document once, of all combinations."""
    return list({id(each): each for documents in combinations.values() for each in documents}.values())


@lru_cache
def combined() -> Combinations:
    """The overlays as they are, the experiment alone, and every part with every storage and every choice of components.

    A component that lists only resources changes no document of others, so leaving it out leaves out its own documents:
    each choice of those is taken from one build that has them all. That it is so, a test compares with builds.
    """
    found = dict(built())
    for part, storage, changing in itertools.product(PARTS, STORAGE, subsets(CHANGING)):
        complete = found[name_of(part, storage, (*changing, *ADDITIVE))]
        for adding in subsets(ADDITIVE):
            name = name_of(part, storage, (*changing, *adding))
            found[name] = [each for each in complete if own_documents().get(key(each), adding) in (adding, *adding)]
    return found


def has(name: str, *components: str) -> bool:
    """Whether a combination contains all of these components; of the shipped overlays that is not known."""
    return set(components) <= set(re.split(r", | with ", name))


def pods(documents: list[Document]) -> Iterator[tuple[str, Document, Document]]:
    """Name, labels and spec of every pod that is described, also by custom resources."""
    for document in documents:
        name = document["metadata"]["name"]
        if document["kind"] in (*WORKLOADS, "CronJob"):
            spec = document["spec"]
            template = spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else spec["template"]
            yield name, template["metadata"]["labels"], template["spec"]
        if document["kind"] == "ServingRuntime":
            yield name, document["spec"].get("labels", {}), {**document["spec"], **predictor(name, documents)}


def predictor(runtime: str, documents: list[Document]) -> Document:
    """What the one service of a runtime of KServe's sets for its pods: KServe lays it over the runtime's own fields."""
    predictors = [each["spec"]["predictor"] for each in documents if each["kind"] == "InferenceService"]
    (found,) = (each for each in predictors if each["model"]["runtime"] == runtime)
    assert not found.keys() & {"containers", "volumes"}
    return {key: value for key, value in found.items() if key not in OF_SERVICE}


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a label selector, with `In` as its only operator, selects these labels."""
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )


def containers(spec: Document) -> list[Document]:
    return [*spec["containers"], *spec.get("initContainers", [])]


def environment(container: Document, documents: list[Document]) -> dict[str, str]:
    """The variables of a container; those of secrets as `secret NAME/KEY`."""
    maps = {each["metadata"]["name"]: each["data"] for each in documents if each["kind"] == "ConfigMap"}
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= maps[source["configMapRef"]["name"]]
    for entry in container.get("env", []):
        origin = entry.get("valueFrom", {})
        if reference := origin.get("configMapKeyRef"):
            found[entry["name"]] = maps[reference["name"]][reference["key"]]
        elif reference := origin.get("secretKeyRef"):
            found[entry["name"]] = f"secret {reference['name']}/{reference['key']}"
        else:
            found[entry["name"]] = entry["value"]
    return found


def cpu(text: str) -> float:
    return float(text[:-1]) / 1000 if str(text).endswith("m") else float(text)


def memory(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi|)", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * {"": 1, "Mi": 2**20, "Gi": 2**30}[unit]
