"""What users make of the Kubernetes manifests: choices and orders of components that are refused, and patches."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from tests.system import manifests
from tests.system.manifests import K8S, NEWEST, OLDEST, ROOT, Document, environment, pods

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


def refusal(tree: Path, components: Iterable[str]) -> str:
    """What kustomize says to components in an order or a choice that it must refuse."""
    folder = Path(shutil.copytree(K8S, tree / "k8s")) / "refused"
    folder.mkdir()
    listed = [f"../components/{name}" for name in components]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["../base"], "components": listed}))
    done = subprocess.run([*manifests.kustomize(), str(folder)], capture_output=True, text=True)
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_both_storages_at_once_are_refused(tmp_path: Path) -> None:
    """Each brings the claim `store`."""
    said = refusal(tmp_path, manifests.STORAGE)
    assert "PersistentVolumeClaim" in said
    assert "already" in said


def on_the_claim() -> list[str]:
    """Components that bring pods which read the claim."""
    return [
        name
        for name in manifests.OPTIONAL
        if any(
            re.search("claimName: store|pvc://store", path.read_text())
            for path in (K8S / "components" / name).glob("*.yaml")
        )
    ]


def test_some_components_read_the_claim() -> None:
    assert set(on_the_claim()) >= {"kserve", "locust", "openvino"}


@pytest.mark.parametrize("component", on_the_claim())
def test_a_component_whose_pods_would_miss_the_bucket_is_refused(component: str, tmp_path: Path) -> None:
    """`s3` changes what is there before it; their pods would read the claim, which then holds no models."""
    assert f"components/{component}': testing value" in refusal(tmp_path, ["s3", component])


def overlay(tree: Path, name: str, patches: Iterable[Document] = (), components: Iterable[str] = ()) -> list[Document]:
    """What an overlay comes to with patches of a user's, and with these components, if any, in place of its own."""
    folder = Path(shutil.copytree(K8S, tree / "k8s")) / "overlays" / name
    content = yaml.safe_load((folder / "kustomization.yaml").read_text())
    content["patches"] = [*content.get("patches", []), *patches]
    content["components"] = [f"../../components/{each}" for each in components] or content["components"]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return manifests.render(folder, manifests.kustomize())


@pytest.mark.parametrize("part", manifests.OVERLAYS)
def test_the_patches_of_the_page_give_production_tokens_and_another_runtime(part: str, tmp_path: Path) -> None:
    import kubernetes_validate

    blocks = re.findall(r"```yaml\n(- target: .+?)```", (ROOT / "docs/deploy.md").read_text(), re.S)
    patches = [patch for block in blocks for patch in yaml.safe_load(block)]
    assert len(patches) == 2
    documents = overlay(tmp_path, part, patches)
    (production,) = (each for each in documents if manifests.key(each) == ("Deployment", "production"))
    kubernetes_validate.validate(production, NEWEST, strict=True)
    (server,) = production["spec"]["template"]["spec"]["containers"]
    # Registry and tag are the overlay's.
    expected = {"local": "bakeoff/serving-pytorch:dev", "production": "registry.example/bakeoff/serving-pytorch:"}
    assert server["image"].startswith(expected[part])
    told = environment(server, documents)
    assert told["BAKEOFF_SERVING_TRUST_REPOSITORY"] == "true"
    assert told["BAKEOFF_SERVING_TOKENS"] == "/tokens/tokens"
    assert "BAKEOFF_SERVING_ALLOW_ANONYMOUS" not in told
    assert server["resources"]["limits"] == {"cpu": "1", "memory": "2Gi"}


@pytest.mark.parametrize("part", manifests.OVERLAYS)
def test_production_servers_get_a_gpu_by_a_component_beside_all_others(part: str, tmp_path: Path) -> None:
    import kubernetes_validate

    others = [name for name in manifests.ORDER if name != "persistence" and not (part == "local" and name == "hpa")]
    documents = overlay(tmp_path, part, components=["gpu/serving", *others])
    (production,) = (each for each in documents if manifests.key(each) == ("Deployment", "production"))
    kubernetes_validate.validate(production, OLDEST, strict=True)
    kubernetes_validate.validate(production, NEWEST, strict=True)
    with_gpu = {
        pod
        for pod, _, spec in pods(documents)
        if spec["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") == 1
        and spec["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] == 1
    }
    trainers = {pod for pod, labels, _ in pods(documents) if labels["app.kubernetes.io/component"] == "trainer"}
    assert with_gpu == {"production", *trainers}
    told = environment(production["spec"]["template"]["spec"]["containers"][0], documents)
    assert told["BAKEOFF_SERVING_DEVICE"] == "cuda"
    assert production["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
