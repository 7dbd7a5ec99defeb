"""What kustomize makes of every overlay and combination of components; each is built once for all tests."""

import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
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
OPTIONAL = [name for name in COMPONENTS if name not in STORAGE]
"""In this order, which puts `tls` behind everything it changes."""
WORKLOADS = ("Deployment", "StatefulSet", "Job")

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


def render(folder: Path) -> list[Document]:
    done = subprocess.run([*kustomize(), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, f"{folder}: {done.stderr}"
    # libyaml reads the many manifests several times faster than Python does.
    return [
        document for document in yaml.load_all(done.stdout, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if document
    ]


def combinations() -> Iterator[tuple[str, ...]]:
    """A storage with nothing, with each, each pair, each three, and all of the optional components."""
    for storage in STORAGE:
        for count in (0, 1, 2, 3, len(OPTIONAL)):
            for chosen in itertools.combinations(OPTIONAL, count):
                yield (storage, *chosen)


@lru_cache
def combined() -> Combinations:
    """What every overlay (alone, and with each optional component) and every combination comes to, by name."""
    kustomize()
    wanted: dict[str, Path | tuple[str, tuple[str, ...]]] = {"experiment": K8S / "experiment"}
    wanted |= {f"overlay {name}": K8S / "overlays" / name for name in OVERLAYS}
    for overlay in OVERLAYS:
        listed = yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())["components"]
        for component in sorted(set(OPTIONAL) - {Path(path).name for path in listed}):
            wanted[f"overlay {overlay} with {component}"] = (f"overlays/{overlay}", (component,))
    wanted |= {"base with " + ", ".join(chosen): ("base", chosen) for chosen in combinations()}
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        folders = [
            entry if isinstance(entry, Path) else _write(Path(scratch, str(number)), *entry)
            for number, entry in enumerate(wanted.values())
        ]
        return dict(zip(wanted, pool.map(render, folders), strict=True))


def _write(folder: Path, base: str, components: tuple[str, ...]) -> Path:
    """A kustomization of a base with the experiment, or of an overlay, and components on top."""
    folder.mkdir()
    here = os.path.relpath(K8S, folder.resolve())
    content = {
        "namespace": "bakeoff",
        "resources": [f"{here}/{base}", *([f"{here}/experiment"] if base == "base" else [])],
        "components": [f"{here}/components/{name}" for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return folder


def has(name: str, *components: str) -> bool:
    """Whether a combination contains all of these components; overlays' own are not looked at."""
    return set(components) <= set(re.split(r", | with ", name))


def pods(documents: list[Document]) -> Iterator[tuple[str, Document, Document]]:
    """Name, labels and spec of every pod that is described, also by custom resources."""
    for document in documents:
        if document["kind"] in WORKLOADS:
            template = document["spec"]["template"]
            yield document["metadata"]["name"], template["metadata"]["labels"], template["spec"]
        if document["kind"] == "ServingRuntime":
            yield document["metadata"]["name"], document["spec"].get("labels", {}), document["spec"]


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
