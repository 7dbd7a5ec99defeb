"""Components of the Kubernetes manifests change each other; what they come to together fits."""

import re
from collections.abc import Iterator

import pytest

from tests.system import manifests
from tests.system.manifests import Combinations, Document, containers, environment, has, pods, selects

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

SERVICES = ("trainer", "evaluator", "serving")
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
TARGET = re.compile(r"(?:dns:///)?([a-z][a-z0-9.-]*):\d+")
TARGETS = re.compile(r"BAKEOFF_ENDPOINT_\w+|BAKEOFF_EVALUATOR_SERVING_\w+|LOADTEST_TARGET")
"""Variables with the address of a service in them: who has one, calls it."""


@pytest.fixture(scope="module")
def combined() -> Combinations:
    """What every overlay and every combination comes to, by name."""
    return manifests.combined()


def test_every_service_has_its_probes_and_room_for_what_it_writes(combined: Combinations) -> None:
    for name, documents in combined.items():
        for pod, labels, spec in pods(documents):
            if labels.get("app.kubernetes.io/component") not in SERVICES:
                continue
            server = spec["containers"][0]
            assert set(PROBES) <= server.keys(), (name, pod)
            writable = {mount["mountPath"] for mount in server["volumeMounts"] if not mount.get("readOnly")}
            assert {"/tmp", "/cache"} <= writable, (name, pod)


def test_every_service_starts_on_all_addresses_and_says_what_it_goes_without(combined: Combinations) -> None:
    """Images listen beyond loopback, where a service wants TLS and tokens, or to be told that it has none."""
    for name, documents in combined.items():
        for pod, labels, spec in pods(documents):
            if labels.get("app.kubernetes.io/component") not in SERVICES:
                continue
            told = {re.sub("^BAKEOFF_(TRAINER_|EVALUATOR_|SERVING_)?", "", key)
                    for key in environment(spec["containers"][0], documents)}  # fmt: skip
            assert len({"INSECURE", "TLS_CERT"} & told) == 1, (name, pod)
            assert len({"ALLOW_ANONYMOUS", "TOKENS", "TLS_CLIENT_CA"} & told) == 1, (name, pod)


def test_with_tls_no_service_may_run_without_it(combined: Combinations) -> None:
    for name, documents in with_tls(combined):
        for pod, labels, spec in pods(documents):
            for container in containers(spec):
                told = environment(container, documents)
                assert not [variable for variable in told if variable.endswith("_INSECURE")], (name, pod)
                assert "--insecure" not in container.get("args", []), (name, pod)
            server = spec["containers"][0]
            if labels["app.kubernetes.io/component"] in SERVICES:
                assert {"BAKEOFF_TLS_CERT", "BAKEOFF_TLS_KEY"} <= environment(server, documents).keys(), (name, pod)
                # The kubelet's own gRPC probes speak no TLS.
                assert not [probe for probe in PROBES if "grpc" in server.get(probe, {})], (name, pod)


def test_with_tls_every_client_trusts_the_authority_and_calls_names_of_the_certificate(combined: Combinations) -> None:
    callers = set()
    for name, documents in with_tls(combined):
        certificate = next(each for each in documents if each["metadata"]["name"] == "bakeoff-tls")
        for pod, _, spec in pods(documents):
            for container in containers(spec):
                told = environment(container, documents)
                called = {value for variable, value in told.items() if TARGETS.fullmatch(variable)}
                asks_itself = "services.client.healthcheck" in str(container.get("readinessProbe"))
                if not called and not asks_itself:
                    continue
                callers.add(pod)
                hosts = {TARGET.fullmatch(address)[1] for address in called}  # type: ignore[index]
                assert hosts <= set(certificate["spec"]["dnsNames"]), (name, pod)
                assert told.get("BAKEOFF_TLS_CA") in files_of_secret(spec, container, "bakeoff-tls"), (name, pod)
    assert {"experiment", "evaluator", "locust-master", "locust-worker", "production", "bakeoff-onnx"} <= callers


def test_without_tls_nothing_refers_to_it(combined: Combinations) -> None:
    for name, documents in combined.items():
        if not has(name, "tls"):
            assert "bakeoff-tls" not in str([spec for _, _, spec in pods(documents)]), name


def with_tls(combined: Combinations) -> Iterator[tuple[str, list[Document]]]:
    """Combinations with the component, alone and with every other."""
    for name, documents in combined.items():
        if has(name, "tls"):
            yield name, documents


def files_of_secret(spec: Document, container: Document, secret: str) -> set[str]:
    """Paths at which a container finds the keys of a certificate's secret."""
    found = set()
    for volume in spec.get("volumes", []):
        if volume.get("secret", {}).get("secretName") != secret:
            continue
        items = volume["secret"].get("items") or [{"path": key} for key in ("tls.crt", "tls.key", "ca.crt")]
        for mount in container["volumeMounts"]:
            if mount["name"] == volume["name"]:
                found |= {f"{mount['mountPath']}/{item['path']}" for item in items}
    return found


def test_autoscalers_policies_and_scrapes_find_what_they_mean(combined: Combinations) -> None:
    for name, documents in combined.items():
        there = {(document["kind"], document["metadata"]["name"]) for document in documents}
        labels = [labels for _, labels, _ in pods(documents)]
        complete = {*manifests.OPTIONAL, "s3"} <= set(re.split(r", | with ", name))
        for document in documents:
            spec, own = document.get("spec", {}), (name, document["metadata"]["name"])
            if document["kind"] == "HorizontalPodAutoscaler":
                assert (spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]) in there, own
            if document["kind"] == "PodMonitor":
                assert any(selects(spec["selector"], each) for each in labels), own
            # A policy may be for a component that this combination does not have.
            if document["kind"] == "NetworkPolicy" and complete:
                assert any(selects(spec["podSelector"], each) for each in labels), own


def test_a_node_that_is_drained_takes_production_servers_one_at_a_time(combined: Combinations) -> None:
    """And is not held up for good: a budget that asks for a minimum would do that where there is one replica."""
    for name, documents in combined.items():
        budgets = [document for document in documents if document["kind"] == "PodDisruptionBudget"]
        assert len(budgets) == (has(name, "pdb") or name == "overlay production"), name
        for budget in budgets:
            assert budget["apiVersion"] == "policy/v1", name
            assert budget["spec"].keys() == {"maxUnavailable", "selector"}, name
            assert budget["spec"]["maxUnavailable"] == 1, name
            covered = {pod for pod, labels, _ in pods(documents) if selects(budget["spec"]["selector"], labels)}
            assert covered == {"production"}, name


def test_some_production_server_stays_while_one_leaves(combined: Combinations) -> None:
    """Where the number is not taken down to one, as the overlay for one node does."""
    for name, documents in combined.items():
        if " with " not in name or name.startswith("local"):
            continue
        (deployment,) = (each for each in documents if manifests.key(each) == ("Deployment", "production"))
        scalers = [each for each in documents if each["kind"] == "HorizontalPodAutoscaler"]
        assert bool(scalers) is has(name, "hpa"), name
        least = scalers[0]["spec"]["minReplicas"] if scalers else deployment["spec"]["replicas"]
        assert least >= 2, name


def test_clients_see_every_pod_of_a_service_that_speaks_grpc(combined: Combinations) -> None:
    """Behind an address of the service's own a connection stays with the one pod it was made to."""
    headless = set()
    for name, documents in combined.items():
        component = {pod: labels["app.kubernetes.io/component"] for pod, labels, _ in pods(documents)}
        for document in documents:
            if document["kind"] != "Service":
                continue
            spec, own = document["spec"], document["metadata"]["name"]
            if component[spec["selector"]["app.kubernetes.io/name"]] in SERVICES:
                assert spec["clusterIP"] == "None", (name, own)
                headless.add(own)
    assert {"production", "serving-onnx", "serving-openvino", "evaluator", "trainer-keras"} <= headless


def test_connections_to_production_are_renewed_so_that_clients_find_new_replicas(combined: Combinations) -> None:
    """Every five minutes, as docs/deploy.md says, under KServe too."""
    renewed = {}
    for documents in combined.values():
        for pod, _, spec in pods(documents):
            if pod == "production":
                told = environment(spec["containers"][0], documents)
                renewed.setdefault(pod, set()).add(told.get("BAKEOFF_SERVING_MAX_CONNECTION_AGE_S"))
            if pod == "bakeoff-onnx":
                words = spec["containers"][0]["args"]
                renewed.setdefault(pod, set()).add(words[words.index("--max-connection-age-s") + 1])
    assert renewed == {"production": {"300"}, "bakeoff-onnx": {"300"}}


def test_replicas_are_spread_over_nodes_where_there_are_several(combined: Combinations) -> None:
    """And start on one node all the same. KServe's pods are its own to place."""
    for name, documents in combined.items():
        for pod, labels, spec in pods(documents):
            if labels["app.kubernetes.io/component"] not in SERVICES or pod == "bakeoff-onnx":
                continue
            (spread,) = spec["topologySpreadConstraints"]
            assert spread["topologyKey"] == "kubernetes.io/hostname", (name, pod)
            assert spread["whenUnsatisfiable"] == "ScheduleAnyway", (name, pod)
            assert spread["maxSkew"] == 1, (name, pod)
            counted = {
                each: own["app.kubernetes.io/component"]
                for each, own, _ in pods(documents)
                if selects(spread["labelSelector"], own)
            }
            # Trainers keep out of each other's way, servers their own replicas.
            others = {"trainer": 4}.get(labels["app.kubernetes.io/component"], 1)
            assert pod in counted, (name, pod)
            assert len(counted) == others, (name, pod)
            assert set(counted.values()) == {labels["app.kubernetes.io/component"]}, (name, pod)


def test_load_generators_read_prepared_data_and_write_none(combined: Combinations) -> None:
    found = set()
    for name, documents in combined.items():
        for pod, labels, spec in pods(documents):
            if labels.get("app.kubernetes.io/component") != "loadtest":
                continue
            found.add(pod)
            if has(name, "s3"):  # It is in the bucket.
                assert "/data" not in [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]], (
                    name,
                    pod,
                )
                continue
            (data,) = (mount for mount in spec["containers"][0]["volumeMounts"] if mount["mountPath"] == "/data")
            assert data["readOnly"] is True, (name, pod)
            (volume,) = (each for each in spec["volumes"] if each["name"] == data["name"])
            assert volume["persistentVolumeClaim"] == {"claimName": "store", "readOnly": True}, (name, pod)
    assert found == {"locust-master", "locust-worker"}


def test_the_address_of_every_server_and_of_mlflow_is_told_to_who_needs_it(combined: Combinations) -> None:
    """Under the name its runtime has everywhere, and only where the server is."""
    for name, documents in combined.items():
        if " with " not in name:
            continue
        there = {document["metadata"]["name"] for document in documents if document["kind"] == "Service"}
        servers = {each for each in there if each.startswith("serving-")} - {"serving-onnx"} | {"serving-onnxruntime"}
        assert len(servers) == (5 if has(name, "openvino") else 3), name
        wanted = {each.upper().replace("-", "_"): f"{each.replace('onnxruntime', 'onnx')}:7111" for each in servers}
        for pod, prefix in (("evaluator", "BAKEOFF_EVALUATOR_"), ("experiment", "BAKEOFF_ENDPOINT_")):
            (spec,) = (spec for found, _, spec in pods(documents) if found == pod)
            told = environment(spec["containers"][0], documents)
            assert {key: value for key, value in told.items() if key.startswith(f"{prefix}SERVING_")} == {
                prefix + key: value for key, value in wanted.items()
            }, (name, pod)
            tracked = pod == "experiment" and has(name, "tracking")
            assert told.get("MLFLOW_TRACKING_URI") == ("http://tracking:5000" if tracked else None), (name, pod)
            assert ("cli-tracking" in spec["containers"][0]["image"]) is tracked, (name, pod)


def test_mlflow_takes_database_and_bucket_from_a_secret_that_need_not_be_there_and_no_argument_shows_them(
    combined: Combinations,
) -> None:
    """Without it the image's own variables hold, which arguments would win over: SQLite and a folder on the claim."""
    found = 0
    for name, documents in combined.items():
        for pod, _, spec in pods(documents):
            if pod != "tracking":
                continue
            found += 1
            (server,) = spec["containers"]
            told = {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in server["env"]}
            assert {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION"} <= told.keys(), name
            assert {(each["name"], each["optional"]) for each in told.values()} == {("tracking", True)}, name
            assert server["args"][::2] == ["--allowed-hosts"], name
    assert found
