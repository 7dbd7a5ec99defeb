"""The rules and dashboards of the observability layer, by Prometheus itself, over a server that answers."""

import contextlib
import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
import yaml

from tests.system import prometheus
from tests.system.manifests import K8S, ROOT
from tests.system.serving_process import ServingProcess, infer_request, publish, serving, wait_for
from tests.unit.serving import published
from tools.bench.ports import free_port

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

RULES = ROOT / "deploy/observability"
DASHBOARDS = sorted((K8S / "components/observability/dashboards").glob("*.json"))
MODEL = "linear"
Query = Callable[[str], list[dict[str, object]]]


def test_rules_and_configuration_are_valid_and_every_alert_fires_when_it_should(tmp_path: Path) -> None:
    _, promtool = prometheus.programs()
    # The configuration names the rules where the container has them.
    (tmp_path / "prometheus.yml").write_text(
        (RULES / "prometheus.yml").read_text().replace("/etc/prometheus/rules.yml", str(RULES / "rules.yml"))
    )
    for command in (["check", "config", tmp_path / "prometheus.yml"], ["test", "rules", RULES / "rules_test.yml"]):
        done = subprocess.run([promtool, *command], cwd=RULES, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_such_a_test() -> None:
    rules = yaml.safe_load((RULES / "rules.yml").read_text())["groups"]
    tests = yaml.safe_load((RULES / "rules_test.yml").read_text())["tests"]
    fired = {each["alertname"] for one in tests for each in one["alert_rule_test"] if each.get("exp_alerts")}
    assert fired == {rule["alert"] for group in rules for rule in group["rules"] if "alert" in rule}


def test_every_service_of_the_core_is_missed_when_it_is_gone() -> None:
    jobs = yaml.safe_load((RULES / "prometheus.yml").read_text())["scrape_configs"]
    places = {(job["job_name"], name) for job in jobs for place in job["dns_sd_configs"] for name in place["names"]}
    (expression,) = (
        rule["expr"]
        for group in yaml.safe_load((RULES / "rules.yml").read_text())["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "BakeoffServiceGone"
    )
    missed = set(re.findall(r'absent\(up\{job="(.+?)", service="(.+?)"\}\)', expression))
    core = {Path(name).stem for name in yaml.safe_load((K8S / "base/kustomization.yaml").read_text())["resources"]}
    core -= {"command"}  # No service: it runs when somebody asks for it.
    assert missed == {(job, name) for job, name in places if name in core}
    assert {name for _, name in missed} == core


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """Asks a Prometheus that has scraped a server, once a second, while that answered and refused requests."""
    program, _ = prometheus.programs()
    folder = tmp_path_factory.mktemp("observability")
    publish(folder / "models", MODEL)
    # Its metrics are all there are, and Envoy's besides.
    with serving(folder, folder / "models", "--transport", "envoy") as server:
        (page,) = [line.split()[-1] for line in server.log.read_text().splitlines() if "metrics on " in line]
        where = urllib.parse.urlsplit(page)
        target = {"targets": [where.netloc], "labels": {"service": "production"}}
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES / "rules.yml")],
            "scrape_configs": [{"job_name": "serving", "metrics_path": where.path, "static_configs": [target]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with running(program, folder) as ask:
            wait_until(lambda: up(ask), server)
            yield ask


def up(ask: Query) -> bool:
    """Whether the rates are there."""
    return bool(ask("service_model:bakeoff_inference_failures:rate1m > 0"))


def wait_until(condition: Callable[[], bool], server: ServingProcess) -> None:
    """Sends good and bad requests until it holds."""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        for _ in range(20):
            server.stub.ModelInfer(infer_request(MODEL, published.images(2)))
        with pytest.raises(grpc.RpcError):
            server.stub.ModelInfer(infer_request(MODEL, published.images(2)[:, 1:]))
        time.sleep(0.5)


@contextlib.contextmanager
def running(program: Path, folder: Path) -> Iterator[Query]:
    """A Prometheus on loopback, to be asked; ends with the block."""
    port, log = free_port(), folder / "prometheus.log"
    command = [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=output, stderr=subprocess.STDOUT
        )

    def ready() -> bool:
        with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(f"{address}/-/ready", timeout=5):
            return True
        return False

    def ask(expression: str) -> list[dict[str, object]]:
        text = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{address}/api/v1/query?{text}", timeout=5) as reply:
            return list(json.load(reply)["data"]["result"])

    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(ready, process, log)
        yield ask
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_of_a_dashboard_has_something_to_show(query: Query, dashboard: Path) -> None:
    panels = json.loads(dashboard.read_text())["panels"]
    asked = {target["expr"] for panel in panels for target in panel.get("targets", [])}
    assert len(asked) > 3
    empty = {one for one in asked if not query(one.replace("$service", ".*").replace("$model", ".*"))}
    assert empty == set()
