"""What the connection settings of server and client do on the wire, seen from between the two."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from services.client.inference import InferenceClient
from tests.system.serving_process import ServingProcess, publish, serving
from tests.unit.serving import published

pytestmark = pytest.mark.system
MODEL, TRANSPORTS = "linear", ("grpcio", "envoy")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER, PING, GOAWAY, ACK = 9, 6, 7, 1
"""Of HTTP/2 frames: bytes before the payload, two types, and a flag."""
KEEPALIVE_S = 0.4


class Between:
    """Forwards connections to a server and looks at what passes."""

    def __init__(self, target: str) -> None:
        host, port = target.rsplit(":", 1)
        self._server, self._listening = (host, int(port)), socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.connections = 0
        self.up, self.down = bytearray(), bytearray()
        """What clients and what the server sent, of all connections: look while there is one."""
        self.passing = threading.Event()
        """Cleared: what clients send is held back."""
        self.passing.set()
        self._sockets = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                self.connections += 1
                for source, target, seen in ((client, server, self.up), (server, client, self.down)):
                    threading.Thread(target=self._forward, args=(source, target, seen), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, seen: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if seen is self.up:
                    self.passing.wait()
                seen += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def frames(stream: bytes) -> list[tuple[int, int]]:
    """Types and flags of the complete HTTP/2 frames in what one side sent."""
    found, at = [], len(PREFACE) if stream.startswith(PREFACE) else 0
    while at + HEADER <= len(stream):
        found.append((stream[at + 3], stream[at + 4]))
        at += HEADER + int.from_bytes(stream[at : at + 3], "big")
    return found


def pings(stream: bytes) -> int:
    """Probes in what one side sent; answers to the other's do not count."""
    return sum(kind == PING and not flags & ACK for kind, flags in frames(bytes(stream)))


@contextlib.contextmanager
def between(folder, *flags: str) -> Iterator[tuple[ServingProcess, Between]]:
    publish(folder / "models", MODEL)
    with serving(folder, folder / "models", *flags) as server:
        proxy = Between(server.target)
        try:
            yield server, proxy
        finally:
            proxy.close()


def predict(client: InferenceClient) -> None:
    images = published.images(4)
    expected = published.linear(published.weights())(images)
    np.testing.assert_allclose(client.predict(MODEL, images).probabilities, expected, atol=1e-6)


def until_more(stream: bytearray, count: int) -> None:
    """Returns when one side has probed so many times more."""
    before, last = pings(stream), time.monotonic() + 20
    while pings(stream) < before + count:
        assert time.monotonic() < last, f"{pings(stream) - before} probes in 20 s, one each {KEEPALIVE_S} s expected"
        time.sleep(0.05)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_idle_client_is_probed(tmp_path, transport):
    flags = ("--transport", transport, "--keepalive-s", str(KEEPALIVE_S))
    with between(tmp_path, *flags) as (_, proxy), InferenceClient(proxy.target) as client:
        predict(client)
        until_more(proxy.down, 3)
        predict(client)
        assert proxy.connections == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_may_answer_a_probe_later_than_the_next_one_is_due(tmp_path, transport):
    flags = ("--transport", transport, "--keepalive-s", str(KEEPALIVE_S))
    with between(tmp_path, *flags) as (_, proxy), InferenceClient(proxy.target) as client:
        predict(client)
        proxy.passing.clear()
        until_more(proxy.down, 1)
        time.sleep(4 * KEEPALIVE_S)
        proxy.passing.set()
        predict(client)
        assert proxy.connections == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_that_probes_as_often_is_no_nuisance(tmp_path, transport):
    flags = ("--transport", transport, "--keepalive-s", str(KEEPALIVE_S))
    probing = [
        ("grpc.keepalive_time_ms", int(1000 * KEEPALIVE_S)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    with between(tmp_path, *flags) as (_, proxy), InferenceClient(proxy.target, options=probing) as client:
        predict(client)
        until_more(proxy.up, 5)
        predict(client)
        assert proxy.connections == 1
        assert GOAWAY not in {kind for kind, _ in frames(bytes(proxy.down))}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_without_the_setting_nobody_is_probed(tmp_path, transport):
    with between(tmp_path, "--transport", transport) as (_, proxy), InferenceClient(proxy.target) as client:
        predict(client)
        time.sleep(0.2)
        before = pings(proxy.down)
        time.sleep(4 * KEEPALIVE_S)
        assert pings(proxy.down) == before


def told(target: str, taken: Between, **options: int) -> int:
    """Bytes that a server sent for ten answers with much in common."""
    given = [(f"grpc.{name}", value) for name, value in options.items()]
    images = np.zeros((64, *published.SHAPE), np.uint8)
    expected = published.linear(published.weights())(images)
    with InferenceClient(target, options=given) as client:
        client.predict(MODEL, images)
        before = len(taken.down)
        for _ in range(10):
            np.testing.assert_allclose(client.predict(MODEL, images).probabilities, expected, atol=1e-6)
        return len(taken.down) - before


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_answers_are_compressed_where_the_server_is_told_to(tmp_path, transport):
    sent = {}
    for algorithm in ("none", "gzip", "deflate"):
        (tmp_path / algorithm).mkdir()
        flags = ("--transport", transport, "--compression", algorithm)
        with between(tmp_path / algorithm, *flags) as (_, proxy):
            sent[algorithm] = told(proxy.target, proxy)
    assert max(sent["gzip"], sent["deflate"]) < 0.5 * sent["none"], sent


def test_envoys_transport_compresses_for_clients_that_accept_it_only(tmp_path):
    with between(tmp_path, "--transport", "envoy", "--compression", "gzip") as (_, proxy):
        # The lowest bit stands for messages as they are.
        plain = told(proxy.target, proxy, compression_enabled_algorithms_bitset=1)
        assert told(proxy.target, proxy) < 0.5 * plain


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_requests_may_be_compressed_whatever_the_servers_own_setting(tmp_path, transport):
    images, sent = np.zeros((64, *published.SHAPE), np.uint8), []
    expected = published.linear(published.weights())(images)
    with between(tmp_path, "--transport", transport) as (_, proxy):
        # Numbers of gRPC's algorithms: none, deflate, gzip.
        for algorithm in (0, 1, 2):
            options = [("grpc.default_compression_algorithm", algorithm)]
            with InferenceClient(proxy.target, options=options) as client:
                client.is_live()
                before = len(proxy.up)
                found = client.predict(MODEL, images)
                sent.append(len(proxy.up) - before)
            np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    assert max(sent[1:]) < 0.5 * sent[0]
