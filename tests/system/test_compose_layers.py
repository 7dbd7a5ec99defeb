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

FILES = sorted((*compose.FOLDER.glob("compose*.yaml"), *compose.FOLDER.glob("s3/*.yaml")))
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


def parse(folder: Path, layers: tuple[str, ...], *files: Path, **environment: str) -> dict[str, Any]:
    """The services of some layers in a folder, and of more files; layers have the variables they cannot do without."""
    done = ask(folder, layers, *files, **{"BAKEOFF_DATASETS": "/srv/datasets", **environment})
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return dict(json.loads(done.stdout)["services"])


def ask(folder: Path, layers: tuple[str, ...], *files: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """What Compose says to some layers with nothing but these variables in the environment."""
    command = ["docker", "compose", "--profile", "*"]
    for file in (*(folder / name for name in compose.files_of(layers)), *files):
        command += ["--file", str(file)]
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ}
    command += ["config", "--format", "json"]
    return subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True)


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
            assert volume.get("source") or volume["type"] == "tmpfs", (name, volume["target"])


@pytest.mark.parametrize("layers", CHOICES, ids="+".join)
def test_a_new_volume_belongs_to_who_writes_it(layers: tuple[str, ...]) -> None:
    """Docker gives it the owner that its folder has in the image.

    Nothing else may be in the folder: Docker copies it for every container, and two that are created at the same time
    fail over the first folder in it ("mkdir: file exists").
    """
    assert not {Path("/", name) for name in install.OWNED} & {
        each for name in install.OWNED for each in Path("/", name).parents
    }
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
    found = service.get("volumes", [])
    return {each["target"]: (each.get("source"), not each.get("read_only")) for each in found}


@pytest.mark.parametrize("layers", [(), ("openvino", "loadtest"), ("s3", "tracking")], ids="+".join)
def test_the_pages_override_protects_every_service_and_lets_everybody_call(
    layers: tuple[str, ...], tmp_path: Path
) -> None:
    """Also every health check: it calls the service over TLS like anybody else."""
    plain = config(layers)
    file = tmp_path / "override.yaml"
    file.write_text(override(of_layers="openvino" in layers))
    services = parse(compose.FOLDER, layers, file, BAKEOFF_TOKEN="secret")
    servers = {name for name, service in services.items() if asks_itself(service)}
    callers = {name for name in services if name in ("evaluator", "cli") or name.startswith("locust-")}
    assert len(servers) == 9 + 2 * ("openvino" in layers)
    for name in servers:
        told = services[name]["environment"]
        files = {told[f"BAKEOFF_{each}"] for each in ("TLS_CERT", "TLS_KEY", "TLS_CA", "TOKENS")}
        assert {Path(each).parent for each in files} == {Path("/tls")}, name
        waivers = [value for key, value in told.items() if key.endswith(("_INSECURE", "_ALLOW_ANONYMOUS"))]
        assert waivers == ["false", "false"], name
    for name in callers:
        told = services[name]["environment"]
        assert (told["BAKEOFF_TLS_CA"], told["BAKEOFF_TOKEN"]) == ("/tls/server.crt", "secret"), name
    for name, service in services.items():
        assert (service.get("environment") or {}).keys() >= (plain[name].get("environment") or {}).keys(), name
        added = {"/tls": ("/srv/bakeoff/tls", False)} if name in servers | callers else {}
        assert mounts(service) == mounts(plain[name]) | added, name


def override(*, of_layers: bool) -> str:
    """The file that the page has for TLS in Compose; on request with its lines for layers."""
    (text,) = re.findall(r"```yaml\n(x-tls: .+?)```", (ROOT / "docs/deploy.md").read_text(), re.S)
    return re.sub(r"^  # ([a-z0-9-]+: \*)", r"  \1", text, flags=re.M) if of_layers else text


def asks_itself(service: dict[str, Any]) -> bool:
    """Whether the health check of a service's image is a gRPC client."""
    name = service["image"].rpartition("/")[2].partition(":")[0]
    if name not in images.IMAGES or service.get("healthcheck", {}).get("disable"):
        return False
    return "services.client.healthcheck" in (ROOT / f"deploy/docker/{images.IMAGES[name].file}.Dockerfile").read_text()


def test_the_bucket_is_made_before_anybody_opens_the_store() -> None:
    services = config(("s3",))
    assert services["s3-bucket"]["entrypoint"][-1] == "bakeoff"
    account = {key: services["s3"]["environment"][key] for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    for name, service in services.items():
        told = service.get("environment") or {}
        if name != "s3":
            assert account.items() <= told.items(), name
            assert told["AWS_ENDPOINT_URL"] == "http://s3:8333", name
        if name not in ("s3", "s3-bucket"):
            assert service["depends_on"]["s3-bucket"]["condition"] == "service_completed_successfully", name


@pytest.mark.parametrize(
    "layers",
    [("s3",), ("data", "s3"), ("s3", "data"), ("s3", "openvino"), ("loadtest", "s3"), tuple(compose.LAYERS)],
    ids="+".join,
)
def test_with_s3_models_pass_through_the_bucket_and_nobody_mounts_the_volume(layers: tuple[str, ...]) -> None:
    services = config(layers)
    models = production = 0
    for name, service in services.items():
        told = service.get("environment") or {}
        found = [value for key, value in told.items() if re.fullmatch(r"BAKEOFF_(TRAINER_|SERVING_)?REPOSITORY", key)]
        if name.startswith(("trainer-", "serving-")) or name == "cli":
            models += 1
            assert found == ["s3://bakeoff/models"], name
        if name in ("production", "cli"):
            production += 1
            promoted = [told["BAKEOFF_PRODUCTION"]] if name == "cli" else found
            assert promoted == ["s3://bakeoff/production"], name
        if (image := image_of(service)).startswith("serving-"):
            assert image.endswith("-s3"), name
            assert {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= told.keys(), name
            assert mounts(service)["/cache"] == ("serving-cache", True), name
        assert "store" not in [source for source, _ in mounts(service).values()], name
        if name.startswith("trainer-") and "data" in layers:
            assert mounts(service)["/datasets"] == ("/srv/datasets", False), name
    assert (models, production) == (8 + 2 * ("openvino" in layers), 2)


def image_of(service: dict[str, Any]) -> str:
    """An image's name without registry and tag."""
    return str(service["image"]).rpartition("/")[2].partition(":")[0]


def test_without_s3_no_server_has_its_client() -> None:
    for layers in ((), ("openvino",)):
        assert not [name for name, service in config(layers).items() if image_of(service).endswith("-s3")]


def test_what_is_built_by_compose_is_what_the_images_are_built_with() -> None:
    for layers in CHOICES:
        for name, service in config(layers).items():
            if "build" in service:
                wanted = images.IMAGES[image_of(service)]
                assert Path(service["build"]["dockerfile"]).name == f"{wanted.file}.Dockerfile", name
                assert (service["build"].get("args") or wanted.arguments) == wanted.arguments, name


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


@pytest.mark.parametrize("environment", [{}, {"BAKEOFF_DATASETS": ""}], ids=["unset", "empty"])
def test_the_layer_data_says_which_variable_it_lacks(environment: dict[str, str]) -> None:
    config(())  # Skips without Compose.
    done = ask(compose.FOLDER, ("data",), **environment)
    assert done.returncode != 0
    assert "BAKEOFF_DATASETS" in done.stderr
    assert "set it to the folder of your data sets" in done.stderr


def test_mlflow_answers_at_the_address_its_port_is_published_on() -> None:
    config(())  # Skips without Compose.
    for told, address in (({}, "127.0.0.1"), ({"BAKEOFF_BIND": "127.0.0.2"}, "127.0.0.2")):
        tracking = parse(compose.FOLDER, ("tracking",), **told)["tracking"]
        assert [port["host_ip"] for port in tracking["ports"]] == [address]
        allowed = tracking["command"][tracking["command"].index("--allowed-hosts") + 1].split(",")
        assert {f"{address}:*", "tracking:5000", "localhost:*"} <= set(allowed)


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
