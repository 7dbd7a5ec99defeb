from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from services.rpc.settings import ServiceSettings, help_text, joined, load
from tests.certificates import Authority


class ExampleSettings(ServiceSettings):
    """An example."""

    model_config = SettingsConfigDict(env_prefix="BAKEOFF_EXAMPLE_")

    store: str
    """Where things are."""


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        load(ExampleSettings, "example", list(arguments))
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_EXAMPLE_STORE", "from the environment")
    monkeypatch.setenv("BAKEOFF_EXAMPLE_PORT", "7000")
    settings = load(ExampleSettings, "example", ["--port", "7001"])
    assert (settings.store, settings.port) == ("from the environment", 7001)


def test_a_missing_key_stops_the_start_and_names_flag_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--store (BAKEOFF_EXAMPLE_STORE): Field required" in refusal(capsys)


def test_an_unknown_variable_stops_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEOFF_EXAMPLE_STOER", "x")
    assert "BAKEOFF_EXAMPLE_STOER: unknown environment variable; known: " in refusal(capsys, "--store", "x")


def test_a_wrong_value_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--port (BAKEOFF_EXAMPLE_PORT): " in refusal(capsys, "--store", "x", "--port", "77777")


def test_listening_beyond_loopback_needs_to_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert "add --insecure" in refusal(capsys, "--store", "x", "--host", "0.0.0.0")
    assert load(ExampleSettings, "example", ["--store", "x", "--host", "0.0.0.0", "--insecure"]).host == "0.0.0.0"
    assert load(ExampleSettings, "example", ["--store", "x", "--host", "127.0.0.9"]).host == "127.0.0.9"


def test_help_shows_every_variable_with_its_meaning() -> None:
    text = help_text(ExampleSettings, "example")
    for name, field in ExampleSettings.model_fields.items():
        assert f"BAKEOFF_EXAMPLE_{name.upper()}" in text
        assert field.description
        assert field.description in text


@pytest.mark.parametrize("arguments", [("--tls-cert", "absent.pem"), ("--tls-client-ca", "absent.pem")])
def test_half_of_a_tls_configuration_is_refused(capsys: pytest.CaptureFixture[str], arguments: tuple[str, str]) -> None:
    assert "give both --tls-cert and --tls-key" in refusal(capsys, "--store", "x", *arguments)


def test_tls_files_that_cannot_be_used_are_named_before_a_port_opens(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    one, other, absent = authority.issue("one"), authority.issue("other"), tmp_path / "absent.pem"

    def told(cert: Path, key: Path, *more: str) -> str:
        return refusal(capsys, "--store", "x", "--tls-cert", str(cert), "--tls-key", str(key), *more)

    assert f"TLS file {absent} does not exist" in told(absent, one.key)
    assert "belong together" in told(one.cert, other.key)
    assert "belong together" in told(one.key, one.key)
    assert f"TLS authority {one.key} cannot be used" in told(one.cert, one.key, "--tls-client-ca", str(one.key))


def test_with_tls_a_service_may_listen_beyond_loopback(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("server")
    tls = ["--tls-cert", str(pair.cert), "--tls-key", str(pair.key)]
    assert load(ExampleSettings, "example", ["--store", "x", "--host", "0.0.0.0", *tls]).tls is not None


def test_one_variable_protects_every_service_and_a_services_own_goes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BAKEOFF_INSECURE", "1")
    monkeypatch.setenv("BAKEOFF_PORT", "7000")
    monkeypatch.setenv("BAKEOFF_TLS_CERT", "")
    settings = load(ExampleSettings, "example", ["--store", "x", "--host", "0.0.0.0"])
    assert (settings.insecure, settings.port, settings.tls) == (True, 0, None)
    monkeypatch.setenv("BAKEOFF_EXAMPLE_INSECURE", "0")
    assert "add --insecure" in refusal(capsys, "--store", "x", "--host", "0.0.0.0")


def test_tokens_that_cannot_be_read_stop_the_start(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "token file" in refusal(capsys, "--store", "x", "--tokens", str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1:1"), ("localhost", "localhost:1"), ("::1", "[::1]:1")]
)
def test_an_ipv6_address_stands_in_brackets(host, address):
    assert joined(host, 1) == address
