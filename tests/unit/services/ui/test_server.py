"""The pages' server: what it gives out, and what it refuses."""

import http.client
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import files, labels
from core.repository import ModelRepository
from evaluator import report
from services.ui import server as ui
from services.ui.server import UiServer
from services.ui.site import Site
from tests.unit.evaluator.builder import Experiment
from tests.unit.serving import published


@pytest.fixture
def server(tmp_path: Path) -> Iterator[UiServer]:
    published.publish(tmp_path / "models", "linear", published.linear(published.weights()))
    # Nobody listens on port 1.
    site = Site(tmp_path, ModelRepository(tmp_path / "models"), lambda runtime: "127.0.0.1:1", {})
    with UiServer(site, "127.0.0.1", 0) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        site.close()


def ask(server: UiServer, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    kind = response.headers["Content-Type"]
    return response.status, json.loads(content) if "json" in kind else content, response.headers


@pytest.mark.parametrize("path", ui.FILES)
def test_every_page_is_there_and_allows_nothing_from_elsewhere(server, path):
    status, content, headers = ask(server, "GET", path)
    assert (status, bool(content)) == (200, True)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert b"http://" not in content.replace(b"http://www.w3.org", b"")


def test_runs_come_newest_first_and_one_that_cannot_be_read_says_why(server, tmp_path):
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",), missing=("train fastai: lost",))
    report.write(one.spec, one.results, one.probabilities, one.test, (), tmp_path / "reports/digits")
    files.write_text(tmp_path / "reports/later/summary.json", '{"schema_version": 99}')
    os.utime(tmp_path / "reports/digits/summary.json", (1, 1))  # Files of one moment have one time.
    _, runs, _ = ask(server, "GET", "/api/runs")
    assert [run["name"] for run in runs] == ["later", "digits"]
    assert "schema_version 99" in runs[0]["error"]
    assert (runs[1]["title"], runs[1]["missing"]) == (one.title, 1)
    status, content, _ = ask(server, "GET", "/reports/digits/report.html")
    assert (status, content[:15]) == (200, b"<!DOCTYPE html>")


def test_no_reports_are_no_error(server):
    assert ask(server, "GET", "/api/runs")[:2] == (200, [])


@pytest.mark.parametrize(
    "path",
    [
        "/reports/../models/linear/1/artifact.json",
        "/reports/..%2fmodels/linear/1/artifact.json",
        "/reports//etc/hosts",
        "/reports/%00",
        "/reports/digits",
        "/reports/x/secret.pem",
        "/pages/index.html",
        "/nothing",
    ],
)
def test_nothing_outside_the_reports_is_given_out(server, tmp_path, path):
    files.write_text(tmp_path / "reports/x/secret.pem", "secret")
    assert ask(server, "GET", path)[0] in (400, 404)


def test_a_link_out_of_the_reports_leads_nowhere(server, tmp_path):
    files.write_text(tmp_path / "outside.json", "{}")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/inside.json").symlink_to(tmp_path / "outside.json")
    assert ask(server, "GET", "/reports/inside.json")[0] == 404


def test_models_say_what_the_live_page_needs(server):
    (model,) = ask(server, "GET", "/api/models")[1]
    assert (model["name"], model["runtime"], model["input"], model["classes"]) == (
        "linear",
        "onnxruntime",
        "6×5 grey",
        3,
    )
    assert (model["title"], model["served"]) == (f"{labels.framework(model['framework'])} ONNX", "ONNX Runtime")


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/api/predict?model=linear", b"no image", 400, "the image cannot be decoded: not an image in a known format"),
        ("/api/predict?model=linear", b"", 400, "it is empty"),
        ("/api/predict?model=none", b"x", 404, "no model 'none'"),
        ("/api/predict?model=../linear", b"x", 404, "no model '../linear'"),
        ("/api/predict", b"x", 400, "expected one model"),
        ("/elsewhere", b"x", 404, "no page /elsewhere"),
    ],
)
def test_a_wrong_question_gets_a_clear_answer(server, path, body, status, message):
    found, answer, _ = ask(server, "POST", path, body)
    assert found == status
    assert message in answer["error"]


def test_an_image_that_is_too_large_is_refused_before_it_is_read(server):
    length = str(ui.MAX_IMAGE_BYTES + 1)
    status, answer, headers = ask(server, "POST", "/api/predict?model=linear", b"x", Content_Length=length)
    assert status == 400
    assert "8,388,609 bytes, 8,388,608 are allowed" in answer["error"]
    assert headers["Connection"] == "close"


def test_pages_of_other_sites_cannot_ask(server):
    assert ask(server, "GET", "/api/runs", Host="evil.example")[0] == 400
    assert ask(server, "POST", "/api/predict?model=linear", b"x", Origin="http://evil.example")[0] == 400
    port = server.server_address[1]
    assert ask(server, "GET", "/api/runs", Host=f"localhost:{port}")[0] == 200


def test_a_tool_that_does_not_listen_is_told_to_be_down(server):
    port = server.server_address[1]
    addresses = {"Here": f"http://127.0.0.1:{port}", "Gone": "http://127.0.0.1:1"}
    site = Site(Path("none"), ModelRepository(Path("none")), str, addresses)
    assert [(link["title"], link["up"]) for link in site.links()] == [("Here", True), ("Gone", False)]
