"""Every overlay and combination of components: built by kustomize, valid, and right in what schemas do not see."""

import functools
import itertools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploy.k8s.command import pod_of
from tests.system import manifests
from tests.system.manifests import (
    K8S,
    NEWEST,
    OLDEST,
    ROOT,
    Combinations,
    Document,
    containers,
    cpu,
    environment,
    memory,
    pods,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

CUSTOM = {"Issuer", "Certificate", "PodMonitor", "PrometheusRule", "ServingRuntime", "InferenceService"}
"""Custom resources: no schema of theirs comes with the validator."""
WITHOUT_SCHEMA = {"ServingRuntime", "InferenceService"}
"""KServe's: no package has their definitions."""
OUTSIDE = {"s3", "bakeoff-tls", "tracking"}
"""Secrets that somebody else makes: the administrator, and cert-manager."""
SAMPLE_SEED, SAMPLES = 7, 2
"""Which choices of components are built themselves, to compare; how many for each part and storage."""
RUNTIMES = {"bakeoff-onnx"}
"""Pods that KServe completes."""


@pytest.fixture(scope="module")
def combined() -> Combinations:
    """What every overlay and every combination comes to, by name."""
    return manifests.combined()


def test_all_of_it_is_strictly_valid(combined: Combinations, monkeypatch: pytest.MonkeyPatch) -> None:
    import kubernetes_validate
    from kubernetes_validate import utils

    # It reads a megabyte of definitions for every document otherwise.
    monkeypatch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
    unique = manifests.distinct(combined)
    assert len(unique) > 40
    for document in unique:
        if document["kind"] in CUSTOM:
            continue
        for version in (OLDEST, NEWEST):
            kubernetes_validate.validate(document, version, strict=True)


def test_a_command_in_the_cluster_gets_a_valid_pod(combined: Combinations) -> None:
    import kubernetes_validate

    templates = [document for document in manifests.distinct(combined) if document["kind"] == "CronJob"]
    assert len(templates) > 8
    for template in templates:
        assert template["spec"]["suspend"] is True
        kubernetes_validate.validate(pod_of(template, ["models"]), NEWEST, strict=True)


def test_a_command_in_the_cluster_has_what_the_experiment_has_but_its_file(combined: Combinations) -> None:
    """With every overlay as it is, and after every choice of components: no Job has to be there for a rollback."""
    for name, documents in combined.items():
        if name == "experiment":
            continue
        (template,) = (each for each in documents if each["kind"] == "CronJob")
        assert manifests.key(template) == ("CronJob", "command"), name
        jobs = {pod: (labels, spec) for pod, labels, spec in pods(documents) if pod in ("command", "experiment")}
        if name.startswith("overlay"):
            assert jobs.keys() == {"command"}, name
            continue
        (_, command), (_, experiment) = jobs["command"], jobs["experiment"]
        (ours,), (theirs,) = command["containers"], experiment["containers"]
        assert environment(ours, documents) == environment(theirs, documents), name
        assert ours["image"] == theirs["image"], name
        for mine, all_of_them in (
            (ours["volumeMounts"], theirs["volumeMounts"]),
            (command["volumes"], experiment["volumes"]),
        ):
            assert mine == [each for each in all_of_them if each["name"] != "experiment"], name
        # Policies let it through as they do the experiment.
        assert jobs["command"][0] == jobs["experiment"][0] | {"app.kubernetes.io/name": "command"}, name


def test_custom_resources_are_what_their_published_definitions_allow(combined: Combinations) -> None:
    """By models that are generated from the definitions of cert-manager 1.17 and the Prometheus operator 0.80."""
    from cloudcoil.models.cert_manager.v1 import Certificate, Issuer
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule

    models = {model.__name__: model for model in (Certificate, Issuer, PodMonitor, PrometheusRule)}
    assert models.keys() == CUSTOM - WITHOUT_SCHEMA
    found = [document for document in manifests.distinct(combined) if document["kind"] in models]
    assert {document["kind"] for document in found} == models.keys()
    for document in found:
        read = models[document["kind"]].model_validate(document)
        # A field that a definition does not have is not read, so it would be missing here.
        assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == document


def test_what_is_composed_is_what_kustomize_builds(combined: Combinations) -> None:
    """None, each component that only adds, and a few choices of all, drawn by lot from a fixed seed."""
    drawn = random.Random(SAMPLE_SEED)
    wanted = [(manifests.BASE, storage, ()) for storage in manifests.STORAGE]
    wanted += [(manifests.BASE, "persistence", (name,)) for name in manifests.ADDITIVE]
    for part, storage in itertools.product(manifests.PARTS, manifests.STORAGE):
        for _ in range(SAMPLES):
            wanted.append((part, storage, tuple(name for name in manifests.OPTIONAL if drawn.random() < 0.5)))
    for name, documents in manifests.build_all(wanted).items():
        assert sorted(documents, key=manifests.key) == sorted(combined[name], key=manifests.key), name


def test_every_choice_of_components_is_there_on_the_base_and_on_every_overlay(combined: Combinations) -> None:
    assert len(combined) == 3 * 2 * 2 ** len(manifests.OPTIONAL) + 3  # The overlays as they are, and the experiment.
    for overlay in manifests.OVERLAYS:
        listed = yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())["components"]
        storage, *chosen = (Path(path).name for path in listed)
        mine = {manifests.key(document): document for document in combined[manifests.name_of(overlay, storage, chosen)]}
        for document in combined[f"overlay {overlay}"]:
            assert mine[manifests.key(document)] == document, overlay


def test_selectors_find_the_pods_they_mean(combined: Combinations) -> None:
    for name, documents in combined.items():
        labels = [labels for _, labels, _ in pods(documents)]
        for document in documents:
            if document["kind"] in ("Deployment", "StatefulSet"):
                own = document["spec"]["template"]["metadata"]["labels"]
                assert document["spec"]["selector"]["matchLabels"].items() <= own.items(), name
            if document["kind"] == "Service":
                selector = document["spec"]["selector"].items()
                assert sum(selector <= each.items() for each in labels) == 1, (name, document["metadata"]["name"])
            if document["kind"] == "PodDisruptionBudget":
                selector = document["spec"]["selector"]["matchLabels"].items()
                assert any(selector <= each.items() for each in labels), name


def test_ports_of_probes_and_services_exist(combined: Combinations) -> None:
    for name, documents in combined.items():
        by_pod = {}
        for pod, _, spec in pods(documents):
            for container in containers(spec):
                ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
                by_pod.setdefault(pod, {}).update(ports)
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    asked = container.get(probe, {})
                    for way in ("grpc", "tcpSocket", "httpGet"):
                        if way in asked:
                            port = asked[way]["port"]
                            assert port in ports or port in ports.values(), (name, pod, probe)
                    command = asked.get("exec", {}).get("command", ["0:0"])
                    port = int(command[-1].rpartition(":")[2])
                    assert port == 0 or port in ports.values(), (name, pod, probe)
        for document in documents:
            if document["kind"] == "Service":
                pod = document["spec"]["selector"]["app.kubernetes.io/name"]
                for port in document["spec"]["ports"]:
                    assert port["targetPort"] in by_pod[pod], (name, pod)


def test_images_are_ours_and_every_overlay_gives_them_a_tag(combined: Combinations) -> None:
    from deploy.images import IMAGES

    for name, documents in combined.items():
        for pod, _, spec in pods(documents):
            for container in containers(spec):
                image, _, tag = container["image"].partition(":")
                assert image.rpartition("/")[2] in IMAGES, (name, pod)
                assert bool(tag) is not name.startswith((manifests.BASE, "experiment")), (name, pod, image)


def test_everything_a_pod_refers_to_exists(combined: Combinations) -> None:
    for name, documents in combined.items():
        if name == "experiment":
            continue  # It joins an installation, whose claim it mounts.
        there = {(document["kind"], document["metadata"]["name"]) for document in documents}
        there |= {("Secret", secret) for secret in OUTSIDE}
        for pod, _, spec in pods(documents):
            if "serviceAccountName" in spec:
                assert ("ServiceAccount", spec["serviceAccountName"]) in there
            mounted = {volume["name"] for volume in spec.get("volumes", [])}
            mounted |= (
                {"runs"}
                if any(d["kind"] == "StatefulSet" and d["metadata"]["name"] == pod for d in documents)
                else set()
            )
            for kind, referred in references(spec):
                assert (kind, referred) in there, (name, pod, kind, referred)
            for container in containers(spec):
                assert {mount["name"] for mount in container.get("volumeMounts", [])} <= mounted, (name, pod)


def references(spec: Document) -> Iterator[tuple[str, str]]:
    """Kind and name of everything a pod mounts or reads its environment from."""
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for container in containers(spec):
        for entry in container.get("envFrom", []):
            yield "ConfigMap", entry["configMapRef"]["name"]
        for entry in container.get("env", []):
            for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if key in entry.get("valueFrom", {}):
                    yield kind, entry["valueFrom"][key]["name"]


def test_requests_stay_within_limits(combined: Combinations) -> None:
    for name, documents in combined.items():
        for pod, _, spec in pods(documents):
            for container in containers(spec):
                asked, allowed = container["resources"]["requests"], container["resources"]["limits"]
                assert cpu(asked["cpu"]) <= cpu(allowed["cpu"]), (name, pod)
                assert memory(asked["memory"]) <= memory(allowed["memory"]), (name, pod)
                assert asked.get("nvidia.com/gpu") == allowed.get("nvidia.com/gpu"), (name, pod)


def test_nothing_is_privileged_and_nothing_writes_its_root(combined: Combinations) -> None:
    for name, documents in combined.items():
        for pod, _, spec in pods(documents):
            assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), (name, pod)
            assert spec["automountServiceAccountToken"] is False, (name, pod)
            assert spec["enableServiceLinks"] is False, (name, pod)
            assert not any("hostPath" in volume for volume in spec.get("volumes", [])), (name, pod)
            for container in containers(spec):
                context = {**spec.get("securityContext", {}), **container["securityContext"]}
                assert context["runAsNonRoot"], (name, pod)
                assert context["seccompProfile"] == {"type": "RuntimeDefault"}, (name, pod)
                assert context["capabilities"] == {"drop": ["ALL"]}, (name, pod)
                assert context["readOnlyRootFilesystem"], (name, pod)
                assert context["allowPrivilegeEscalation"] is False, (name, pod)
                assert "privileged" not in context, (name, pod)


def test_pods_live_longer_than_they_drain(combined: Combinations) -> None:
    """Every server of ours; locust and MLflow end at once, and a command may be killed at any moment."""
    from services.rpc.settings import ServiceSettings

    found = set()
    for name, documents in combined.items():
        for pod, labels, spec in pods(documents):
            if labels["app.kubernetes.io/component"] not in ("trainer", "evaluator", "serving"):
                continue
            found.add(pod)
            server = spec["containers"][0]
            told = environment(server, documents)
            assert not [variable for variable in told if variable.endswith("_DRAIN_S")], (name, pod)
            drain = ServiceSettings.model_fields["drain_s"].default
            sleep = re.search(r"sleep\((\d+)\)", server["lifecycle"]["preStop"]["exec"]["command"][-1])
            assert sleep is not None, (name, pod)
            # Endpoints that lose the pod do not wait for anything: it has to answer in the meantime.
            assert int(sleep[1]) >= 5, (name, pod)
            # Calls in flight are waited for, and cancelled ones once more.
            assert spec["terminationGracePeriodSeconds"] > int(sleep[1]) + 2 * drain, (name, pod)
    assert {"production", "evaluator", "trainer-keras", "serving-onnx", "serving-openvino-bf16"} <= found
    assert found >= RUNTIMES


def test_the_rules_of_compose_and_of_the_operator_are_the_same() -> None:
    plain = yaml.safe_load((ROOT / "deploy/observability/rules.yml").read_text())
    operator = yaml.safe_load((K8S / "components/observability/rules.yaml").read_text())
    assert operator["spec"] == plain


def test_every_alert_has_a_row_in_the_runbook() -> None:
    rows = re.findall(r"^\| (.+?) \|", (ROOT / "docs/deploy.md").read_text(), re.M)
    groups = yaml.safe_load((ROOT / "deploy/observability/rules.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        page, _, symptom = rule["annotations"]["runbook"].partition(", ")
        assert page == "docs/deploy.md"
        assert json.loads(symptom) in rows, rule["alert"]


def test_the_job_runs_the_demo_experiment_unless_told_otherwise() -> None:
    assert (K8S / "experiment/experiment.yaml").read_bytes() == (ROOT / "experiments/digits.yaml").read_bytes()
