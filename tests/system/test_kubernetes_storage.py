"""What pods of the Kubernetes manifests read and write: keys of secrets, the claim, the bucket."""

import re

import pytest

from tests.system import manifests
from tests.system.manifests import ROOT, Combinations, environment, has, pods

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def combined() -> Combinations:
    """What every overlay and every combination comes to, by name."""
    return manifests.combined()


def test_keys_are_read_by_the_group_of_the_pods_and_nobody_else(combined: Combinations) -> None:
    """A certificate without its key may be read by all."""
    found = set()
    for name, documents in combined.items():
        for pod, _, spec in pods(documents):
            for secret in (volume["secret"] for volume in spec.get("volumes", []) if "secret" in volume):
                if [item["key"] for item in secret.get("items", [])] == ["ca.crt"]:
                    continue
                found.add(pod)
                assert secret["defaultMode"] == 0o440, (name, pod)
                assert spec["securityContext"]["fsGroup"] == 1000, (name, pod)
                context = {**spec["securityContext"], **spec["containers"][0]["securityContext"]}
                assert context["runAsUser"] == 1000, (name, pod)
    assert {"trainer-keras", "evaluator", "production", "bakeoff-onnx"} <= found


def test_servers_may_not_write_the_models_they_read(combined: Combinations) -> None:
    """Neither through the mount nor through the claim, whatever a patch does to one of them."""
    found = set()
    for name, documents in combined.items():
        for pod, labels, spec in pods(documents):
            claims = {
                volume["name"]: volume["persistentVolumeClaim"]
                for volume in spec.get("volumes", [])
                if "persistentVolumeClaim" in volume
            }
            if labels["app.kubernetes.io/component"] != "serving" or not claims:
                continue
            found.add(pod)
            assert list(claims.values()) == [{"claimName": "store", "readOnly": True}], (name, pod)
            mounts = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] in claims]
            assert [each.get("readOnly") for each in mounts] == [True], (name, pod)
    assert {"production", "serving-onnx", "serving-tensorflow", "serving-pytorch", "serving-openvino"} <= found


def test_the_command_and_the_services_share_one_store(combined: Combinations) -> None:
    """A result that a service writes elsewhere than the command looks ends a run."""
    at = r"\bBAKEOFF_(?:[A-Z]+_)?STORE=(\S+)"
    defaults = {
        name: re.findall(at, (ROOT / f"deploy/docker/{name}.Dockerfile").read_text())[0]
        for name in ("trainer", "evaluator", "cli")
    }
    for name, documents in combined.items():
        stores, accounts = {}, {}
        for pod, labels, spec in pods(documents):
            component = {"experiment": "cli"}.get(part := labels.get("app.kubernetes.io/component", ""), part)
            if component not in defaults:
                continue
            told = environment(spec["containers"][0], documents)
            given = [value for variable, value in told.items() if re.fullmatch(at.partition("=")[0], variable)]
            stores[pod] = given[0] if given else defaults[component]
            accounts[pod] = tuple(told.get(variable) for variable in ("AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"))
        assert len(set(stores.values())) == 1, (name, stores)
        assert len(set(accounts.values())) == 1, (name, accounts)
        if has(name, "s3"):
            assert set(stores.values()) == {"s3://bakeoff/store"}, name


def test_with_s3_models_pass_through_the_bucket_and_servers_mount_no_claim(combined: Combinations) -> None:
    """Who publishes, who serves, and who promotes: each with an account, and servers with a client of S3."""
    places = {"trainer": "TRAINER_REPOSITORY", "serving": "SERVING_REPOSITORY", "experiment": "REPOSITORY"}
    found = set()
    for name, documents in combined.items():
        for pod, labels, spec in pods(documents):
            component, container = labels["app.kubernetes.io/component"], spec["containers"][0]
            image = container["image"].rpartition("/")[2].partition(":")[0]
            if not has(name, "s3"):
                assert not image.endswith("-s3"), (name, pod)
                continue
            claims = {
                each["persistentVolumeClaim"]["claimName"]
                for each in spec.get("volumes", [])
                if "persistentVolumeClaim" in each
            }
            # The command keeps reports there, the evaluator's pod hands them out, trainers find folders of your own.
            assert ("store" in claims) is (component in ("trainer", "evaluator", "experiment")), (name, pod)
            if component not in places:
                continue
            found.add(pod)
            told = environment(container, documents)
            promoted = pod in ("production", "bakeoff-onnx")
            assert told[f"BAKEOFF_{places[component]}"] == f"s3://bakeoff/{'production' if promoted else 'models'}"
            assert told["AWS_ACCESS_KEY_ID"] == "secret s3/access-key", (name, pod)
            assert told["AWS_SECRET_ACCESS_KEY"] == "secret s3/secret-key", (name, pod)
            assert told["AWS_ENDPOINT_URL"] == "secret s3/endpoint", (name, pod)
            assert image.endswith("-s3") is (component == "serving"), (name, pod)
            if component == "experiment":
                assert told["BAKEOFF_PRODUCTION"] == "s3://bakeoff/production", name
            if component == "trainer":
                (data,) = (each for each in container["volumeMounts"] if each["mountPath"] == "/data")
                assert data["readOnly"] is True, (name, pod)
            if pod == "bakeoff-onnx":
                assert "--repository" not in container["args"], name
                (service,) = (each for each in documents if each["kind"] == "InferenceService")
                assert "storageUri" not in service["spec"]["predictor"]["model"], name
    assert found >= {
        "trainer-keras",
        "serving-onnx",
        "serving-openvino-bf16",
        "production",
        "bakeoff-onnx",
        "experiment",
        "command",
    }
