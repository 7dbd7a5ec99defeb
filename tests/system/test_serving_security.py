"""mTLS and tokens on a running server, over each transport."""

import subprocess
import sys

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from core.errors import DeniedError, NotReadyError, UnauthenticatedError
from services.client.inference import InferenceClient
from services.client.security import Security
from tests.certificates import Authority
from tests.system.serving_process import launched, publish, wait_for
from tests.unit.serving import published

pytestmark = pytest.mark.system
READER, WRITER = "r" * 24, "w" * 24


@pytest.mark.parametrize("transport", ["grpcio", "envoy"])
def test_only_who_has_certificate_token_and_right_gets_an_answer(tmp_path, transport):
    publish(tmp_path / "models", "linear")
    authority = Authority(tmp_path / "tls")
    own, client = authority.issue("server"), authority.issue("client")
    (tmp_path / "tokens").write_text(f"web inference {READER}\nops control {WRITER}\n")
    flags = ["--runtime", "onnxruntime", "--repository", str(tmp_path / "models"), "--transport", transport]
    flags += ["--tls-cert", str(own.cert), "--tls-key", str(own.key), "--tls-client-ca", str(authority.cert)]
    flags += ["--tokens", str(tmp_path / "tokens")]
    tls = {"tls_ca": str(authority.cert), "tls_cert": client.cert, "tls_key": client.key}

    def connect(**security) -> InferenceClient:
        return InferenceClient(target, attempts=1, timeout_s=10, security=Security(**security))

    def healthy() -> bool:
        with Security(**tls).channel(target) as channel:
            request = health_pb2.HealthCheckRequest()
            try:
                return health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status == 1
            except grpc.RpcError as error:
                # On busy cores an import holds Python's lock for seconds.
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    return False
                raise

    with launched(tmp_path, *flags) as (process, address, log):
        wait_for(address.is_file, process, log)
        target = address.read_text().strip()
        wait_for(healthy, process, log)
        images = published.images(2)
        with connect(**tls, token=READER) as web:
            assert web.predict("linear", images).probabilities.shape == (2, len(published.CLASSES))
            with pytest.raises(DeniedError):
                web.load_model("linear")
        with connect(**tls, token=WRITER) as ops, pytest.raises(DeniedError):
            ops.predict("linear", images)
        with connect(**tls) as nobody, pytest.raises(UnauthenticatedError):
            nobody.predict("linear", images)
        for stranger in ({"tls_ca": str(authority.cert), "token": READER}, {"token": READER}):
            with connect(**stranger) as client_without, pytest.raises(NotReadyError):
                client_without.predict("linear", images)
        process.terminate()
        assert process.wait(30) == 0
        assert READER not in log.read_text()


REQUIRED = {
    "services.serving": ("--runtime=onnxruntime", "--repository=x"),
    "services.trainer": ("--framework=keras", "--runs=x", "--store=x", "--cache=x", "--repository=x"),
    "services.evaluator": ("--runs=x", "--store=x", "--cache=x"),
}


SERVICES = [(module, ()) for module in REQUIRED] + [("services.serving", ("--transport", "envoy"))]


def refused(module, *flags) -> str:
    command = [sys.executable, "-m", module, *REQUIRED[module], *flags, "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    return done.stderr


@pytest.mark.parametrize(("module", "flags"), SERVICES)
def test_beyond_loopback_a_service_refuses_to_start_unprotected(tmp_path, module, flags):
    told = refused(module, *flags)
    assert "give --tls-cert and --tls-key, or add --insecure" in told
    assert "add --allow-anonymous" in told


@pytest.mark.parametrize(("module", "flags"), SERVICES)
def test_beyond_loopback_tls_alone_is_not_enough_to_start(tmp_path, module, flags):
    own = Authority(tmp_path).issue("server")
    told = refused(module, *flags, "--tls-cert", str(own.cert), "--tls-key", str(own.key))
    assert "give --tokens FILE" in told
    assert "--insecure" not in told


@pytest.mark.parametrize("transport", ["grpcio", "envoy"])
def test_told_to_go_without_a_service_listens_beyond_loopback_and_says_so(tmp_path, transport):
    publish(tmp_path / "models", "linear")
    flags = ["--runtime", "onnxruntime", "--repository", str(tmp_path / "models"), "--transport", transport]
    with launched(tmp_path, *flags, "--host", "0.0.0.0", "--insecure", "--allow-anonymous") as (process, address, log):
        wait_for(address.is_file, process, log)
        port = address.read_text().strip().rpartition(":")[2]
        with InferenceClient(f"127.0.0.1:{port}", attempts=1, timeout_s=10, security=Security()) as client:
            wait_for(client.is_ready, process, log)
            assert client.predict("linear", published.images(1)).probabilities.shape == (1, len(published.CLASSES))
        assert "without TLS, without tokens: whoever reaches it may call" in log.read_text()
