"""The health check of containers, against a real health service."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.client.healthcheck import main


@pytest.mark.parametrize(("status", "code"), [("SERVING", 0), ("NOT_SERVING", 1)])
def test_the_exit_status_says_whether_the_service_serves(status: str, code: int) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    assert main([f"127.0.0.1:{port}"]) == code
    server.stop(0).wait()


def test_nobody_there_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["127.0.0.1:1"]) == 1
    assert "127.0.0.1:1 does not say SERVING" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["127.0.0.1"], ["a:1", "b:2"]])
def test_a_wrong_command_line_gets_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "HOST:PORT" in capsys.readouterr().err
