"""What docs/deploy.md tells people to copy loses nothing and fits the Compose files; no engine."""

import asyncio
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy import compose
from services.client import healthcheck
from services.serving.settings import ServingSettings
from tests.unit.services.rpc.test_secure_server import serve

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/deploy.md").read_text()
BACKUP = PAGE.partition("\n## Back up and restore\n")[2].partition("\n## ")[0]
FILES = {path.name: yaml.safe_load(path.read_text()) for path in compose.FOLDER.glob("compose*.yaml")}
VOLUMES = {name for file in FILES.values() for name in file.get("volumes", {})}

DOCKER = """#!/bin/bash
echo "$@" >>"${0%/*}/told"
"""


def kept_and_not_needed() -> tuple[set[str], set[str]]:
    """Volumes that the table says to save, and those it says nobody needs."""
    kept, not_needed = set[str](), set[str]()
    for _, where, how in re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", BACKUP, re.M):
        for named in re.findall(r"`([a-z0-9-]+)…?`", where):
            found = {name for name in VOLUMES if name == named or (named.endswith("-") and name.startswith(named))}
            (not_needed if how.startswith("not needed") else kept).update(found)
    return kept, not_needed


def test_every_volume_is_saved_or_said_not_to_be_needed() -> None:
    kept, not_needed = kept_and_not_needed()
    assert kept | not_needed == VOLUMES
    assert not kept & not_needed


@pytest.mark.parametrize("saved", [("store", "home"), ("store",)], ids="+".join)
def test_restoring_removes_no_volume_that_it_does_not_bring_back(saved: tuple[str, ...], tmp_path: Path) -> None:
    _, not_needed = kept_and_not_needed()
    for name in saved:
        (tmp_path / f"{name}.tar").write_text("an archive")
    told = run(restoring(), tmp_path)
    removed = [re.sub(r"^bakeoff_", "", words[-1]) for words in told if words[:2] == ["volume", "rm"]]
    assert sorted(removed) == sorted({*saved, *not_needed})
    assert not [words for words in told if "prune" in words or "down" in words]
    mounted = {
        name for words in told for name in re.findall(r"--volume bakeoff_([a-z0-9-]+):/volume ", " ".join(words))
    }
    assert mounted >= set(saved)


def test_what_is_saved_is_what_is_restored(tmp_path: Path) -> None:
    save, restore = blocks()[:2]
    lists = re.findall(r"^for volume in (.+?); do (?:test|docker run|docker volume create)", save + restore, re.M)
    assert len(lists) == 4
    assert len(set(lists)) == 1
    assert set(lists[0].split()) <= kept_and_not_needed()[0]


def test_the_pages_certificate_and_tokens_let_a_service_start_and_its_health_check_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (commands,) = re.findall(r"```console\n(mkdir -p tls\n.+?)chown", PAGE, re.S)
    subprocess.run(["bash", "-e", "-c", commands], cwd=tmp_path, check=True, capture_output=True)
    protected = yaml.safe_load(re.findall(r"```yaml\n(x-tls: .+?)```", PAGE, re.S)[0])["services"]
    for name, value in protected["production"]["environment"].items():
        monkeypatch.setenv(name, value.replace("/tls/", f"{tmp_path}/tls/"))
    told = {"runtime": "onnxruntime", "repository": str(tmp_path)}
    assert ServingSettings(**told, host="0.0.0.0").authorises
    with pytest.raises(ValueError, match=r"not protected.+anybody may call"):
        ServingSettings(**told, host="0.0.0.0", tls_cert=None, tls_key=None, tokens=None)

    async def healthy(target: str) -> None:
        assert await asyncio.to_thread(healthcheck.main, [target]) == 0
        monkeypatch.delenv("BAKEOFF_TLS_CA")
        assert await asyncio.to_thread(healthcheck.main, [target]) == 1, "without the authority it speaks no TLS"

    serve(ServingSettings(**told, port=0), healthy)


def test_the_pages_certificate_has_the_name_of_every_service() -> None:
    (names,) = re.findall(r"subjectAltName=(DNS:trainer-keras,\S+)", PAGE)
    services = {name for file in FILES.values() for name in file["services"]}
    served = {
        name for name in services if name.startswith(("trainer-", "serving-")) or name in ("evaluator", "production")
    }
    assert {f"DNS:{name}" for name in served} | {"DNS:localhost", "IP:127.0.0.1"} == set(names.split(","))


def test_what_the_page_restarts_is_there_under_its_kind() -> None:
    named = re.findall(r"rollout restart ((?:\w+/[a-z-]+ ?)+)", PAGE)
    restarted = {each for words in named for each in words.split()}
    texts = [path.read_text() for path in (ROOT / "deploy/k8s").rglob("*.yaml")]
    documents = [each for text in texts for each in yaml.safe_load_all(text) if "metadata" in each]
    there = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in documents}
    assert {"deployment/production", "statefulset/tracking"} <= restarted
    assert restarted <= there


def test_the_pages_secret_for_mlflow_has_the_keys_that_its_pod_reads() -> None:
    documents = yaml.safe_load_all((ROOT / "deploy/k8s/components/tracking/tracking.yaml").read_text())
    (server,) = (each for each in documents if each["kind"] == "StatefulSet")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    read = {each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"]}
    ((command, further),) = re.findall(r"create secret generic tracking (.+)\n(?s:.+?further literals(.+?)\. )", PAGE)
    assert set(re.findall(r"--from-literal (\w+)=", command)) == {"database", "artifacts"}
    assert {"database", "artifacts", *re.findall(r"`([a-z-]+)`", further)} == read


def test_the_experiments_own_comment_has_the_pages_commands() -> None:
    told = re.findall(r"^#   (kubectl .+)$", (ROOT / "deploy/k8s/experiment/kustomization.yaml").read_text(), re.M)
    assert len(told) == 2
    assert [command for command in told if command not in PAGE] == []


def blocks() -> list[str]:
    return re.findall(r"```console\n(.+?)```", BACKUP, re.S)


def restoring() -> str:
    return re.sub(r"^make .+\n", "", blocks()[1], flags=re.M)


def run(commands: str, folder: Path) -> list[list[str]]:
    """What commands of the page tell Docker, which is a stand-in here: the real one loses volumes."""
    program = folder / "bin/docker"
    program.parent.mkdir()
    program.write_text(DOCKER)
    program.chmod(0o755)
    path = f"{program.parent}:/usr/local/bin:/usr/bin:/bin"
    subprocess.run(["bash", "-e", "-c", commands], cwd=folder, env={"PATH": path}, check=True)
    return [line.split() for line in (program.parent / "told").read_text().splitlines()]
