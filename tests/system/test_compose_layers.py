"""What Compose makes of its files, every layer alone and all together; no container runs."""

import json
import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy import compose, images
from deploy.docker import install
from tests.system.containers import ROOT, start_engine

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

FILES = sorted(compose.FOLDER.glob("compose*.yaml"))
CHOICES = [(), *((layer,) for layer in compose.LAYERS), tuple(compose.LAYERS)]
NO_HEALTH = {
    "cli": "a command, not a service",
    "s3-bucket": "ends when it is done",
    "locust-worker": "listens nowhere; its master counts it",
}
THEIR_USER = {"prometheus", "grafana", "s3"}
"""Third-party images, which come with a user of their own."""


def has_compose() -> bool:
    """Whether the command is there, which is all these tests need."""
    found = shutil.which("docker")
    return found is not None and not subprocess.run([found, "compose", "version"], capture_output=True).returncode


@lru_cache
def config(layers: tuple[str, ...]) -> dict[str, Any]:
    """The services of some layers, as Compose understands them."""
    if not has_compose():
        start_engine()
    return parse(compose.FOLDER, layers)


def parse(folder: Path, layers: tuple[str, ...], **environment: str) -> dict[str, Any]:
    command = ["docker", "compose", "--file", str(folder / "compose.yaml"), "--profile", "*"]
    for layer in layers:
        command += ["--file", str(folder / f"compose.{layer}.yaml")]
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ}
    done = subprocess.run([*command, "config", "--format", "json"], env={**clean, **environment}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert not done.stderr, done.stderr.decode()
    return dict(json.loads(done.stdout)["services"])


@pytest.mark.parametrize("layers", CHOICES, ids="+".join)
def test_every_service_is_limited_and_may_do_nothing_it_need_not(layers: tuple[str, ...]) -> None:
    for name, service in config(layers).items():
        assert float(service["cpus"]) > 0, name
        assert int(service["mem_limit"]) == int(service["memswap_limit"]) > 0, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "network_mode", "pid"} & service.keys(), name
        assert name in THEIR_USER or service["user"] == "1000:1000", name
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name


@pytest.mark.parametrize("layers", CHOICES, ids="+".join)
def test_every_service_says_whether_it_is_well(layers: tuple[str, ...]) -> None:
    for name, service in config(layers).items():
        own = service.get("healthcheck", {})
        checked = not own.get("disable") and (bool(own.get("test")) or image_checks(service["image"]))
        assert checked is (name not in NO_HEALTH), name


def image_checks(image: str) -> bool:
    """Whether an image of ours brings a health check."""
    name = image.rpartition("/")[2].partition(":")[0]
    if name not in images.IMAGES:
        return False
    return "\nHEALTHCHECK" in (ROOT / f"deploy/docker/{images.IMAGES[name].file}.Dockerfile").read_text()


@pytest.mark.parametrize("layers", CHOICES, ids="+".join)
def test_services_and_command_share_one_store(layers: tuple[str, ...]) -> None:
    stores = {
        value
        for service in config(layers).values()
        for variable, value in (service.get("environment") or {}).items()
        if re.fullmatch(r"BAKEOFF_(TRAINER_|EVALUATOR_)?STORE", variable)
    }
    assert len(stores) == 1
    assert stores == ({"s3://bakeoff/store"} if "s3" in layers else {"/data/store"})


@pytest.mark.parametrize("layers", CHOICES, ids="+".join)
def test_no_container_leaves_a_volume_without_a_name_behind(layers: tuple[str, ...]) -> None:
    for name, service in config(layers).items():
        for volume in service.get("volumes", []):
            assert volume.get("source"), (name, volume["target"])


@pytest.mark.parametrize("layers", CHOICES, ids="+".join)
def test_a_new_volume_belongs_to_who_writes_it(layers: tuple[str, ...]) -> None:
    """Docker gives it the owner that its folder has in the image."""
    owned = {path for name in install.OWNED for path in (Path("/", name), *Path("/", name).parents)}
    for name, service in config(layers).items():
        if name not in THEIR_USER:
            named = {Path(each["target"]) for each in service.get("volumes", []) if each["type"] == "volume"}
            assert named <= owned, name


def test_everybody_who_times_work_sees_the_others_locks() -> None:
    timing = {name: service for name, service in config(()).items() if name.startswith("trainer-") or name == "cli"}
    assert len(timing) == 5
    for name, service in timing.items():
        assert mounts(service)[service["environment"]["BAKEOFF_TIMED"]] == ("timed", True), name


@pytest.mark.parametrize("layers", [(), ("openvino",)], ids="+".join)
def test_every_server_keeps_what_it_learns_about_models(layers: tuple[str, ...]) -> None:
    told = (ROOT / "deploy/docker/serving.Dockerfile").read_text()
    (cache,) = re.findall(r"BAKEOFF_SERVING_CACHE=(\S+)", told)
    servers = {name: each for name, each in config(layers).items() if "/serving-" in each["image"]}
    assert len(servers) == 4 + 2 * len(layers)
    for name, service in servers.items():
        assert mounts(service)[cache] == ("serving-cache", True), name


@pytest.mark.parametrize("layers", CHOICES, ids="+".join)
def test_the_command_alone_reads_the_experiments_of_the_checkout(layers: tuple[str, ...]) -> None:
    for name, service in config(layers).items():
        found = [each for each in service.get("volumes", []) if each["target"] == "/experiments"]
        assert len(found) == (name == "cli"), name
        for mount in found:
            assert mount["type"] == "bind"
            assert Path(mount["source"]) == ROOT / "experiments"
            assert mount["read_only"] is True
            # Docker would make an empty folder, owned by root, of a path with a typing error.
            assert not mount["bind"].get("create_host_path")


def test_the_command_reads_the_experiments_of_another_folder_that_is_named(tmp_path: Path) -> None:
    config(())  # Skips without Compose.
    cli = parse(compose.FOLDER, (), BAKEOFF_EXPERIMENTS=str(tmp_path))["cli"]
    assert mounts(cli)["/experiments"] == (str(tmp_path), False)
    # Those of the image stay, which the demo runs: nothing lies over them.
    assert not [target for target in mounts(cli) if Path("/opt/app").is_relative_to(target) or "/opt/app" in target]


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Where a service finds which volume, and whether it may write there."""
    return {each["target"]: (each.get("source"), not each.get("read_only")) for each in service["volumes"]}


def test_the_bucket_is_made_before_anybody_opens_the_store() -> None:
    services = config(("s3",))
    assert services["s3-bucket"]["entrypoint"][-1] == "bakeoff"
    account = {key: services["s3"]["environment"][key] for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    for name, service in services.items():
        told = service.get("environment") or {}
        if name.startswith("trainer-") or name in ("evaluator", "cli", "s3-bucket"):
            assert account.items() <= told.items(), name
            assert told["AWS_ENDPOINT_URL"] == "http://s3:8333", name
        if "STORE" in str(told) and name != "s3-bucket":
            assert service["depends_on"]["s3-bucket"]["condition"] == "service_completed_successfully", name


@pytest.mark.parametrize("layers", CHOICES, ids="+".join)
def test_evaluator_and_command_find_the_server_of_every_runtime_that_runs(layers: tuple[str, ...]) -> None:
    services = config(layers)
    places = {"SERVING_ONNXRUNTIME": "serving-onnx"} | {
        name.upper().replace("-", "_"): name
        for name in services
        if name.startswith("serving-") and name != "serving-onnx"
    }
    assert len(places) == 3 + 2 * ("openvino" in layers)
    for reader, prefix in (("evaluator", "BAKEOFF_EVALUATOR_"), ("cli", "BAKEOFF_ENDPOINT_")):
        told = {key.removeprefix(prefix): value for key, value in services[reader]["environment"].items()}
        assert {key: value for key, value in told.items() if key.startswith("SERVING_")} == {
            key: f"{service}:7111" for key, service in places.items()
        }


def test_every_service_of_ours_is_scraped() -> None:
    ours = {name for name, service in config(CHOICES[-1]).items() if "bakeoff/" in service["image"]}
    jobs = YAML(typ="safe").load(compose.FOLDER / "observability/prometheus.yml")["scrape_configs"]
    scraped = {name for job in jobs for place in job.get("dns_sd_configs", ()) for name in place["names"]}
    served = {name for name in ours if name.startswith(("trainer-", "serving-")) or name in ("evaluator", "production")}
    assert len(served) == 11
    assert served <= scraped


def test_no_two_services_want_the_same_port() -> None:
    published = [p["published"] for service in config(CHOICES[-1]).values() for p in service.get("ports", [])]
    assert len(published) == len(set(published))


def test_everything_that_can_be_set_is_in_the_env_file() -> None:
    used = {name for path in FILES for name in re.findall(r"\$\{([A-Z0-9_]+)", path.read_text())}
    listed = set(re.findall(r"^#? ?([A-Z0-9_]+)=", (compose.FOLDER / ".env").read_text(), re.M))
    assert used == listed


def test_registry_and_tag_of_the_env_file_are_heeded_and_the_environment_wins(tmp_path: Path) -> None:
    config(())  # Skips without Compose.
    folder = tmp_path / "deploy"
    shutil.copytree(compose.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / ".env").read_text()
    assert "BAKEOFF_REGISTRY=bakeoff\nBAKEOFF_TAG=dev\n" in text
    text = text.replace("REGISTRY=bakeoff\nBAKEOFF_TAG=dev", "REGISTRY=registry.example:5000/team\nBAKEOFF_TAG=1.2.3")
    (folder / ".env").write_text(text)
    assert compose.chosen(parse(folder, ())["cli"]["image"]) == ("registry.example:5000/team", "1.2.3")
    assert compose.chosen(parse(folder, (), BAKEOFF_TAG="dev")["cli"]["image"]) == ("registry.example:5000/team", "")
