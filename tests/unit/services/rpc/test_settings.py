from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from services.rpc.server import authoriser
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


NO_TLS, NO_CALLERS = "add --insecure", "add --allow-anonymous"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((), {NO_TLS, NO_CALLERS}),
        (("insecure",), {NO_CALLERS}),
        (("anonymous",), {NO_TLS}),
        (("tokens",), {NO_TLS}),
        (("tls",), {NO_CALLERS}),
        (("insecure", "anonymous"), set()),
        (("insecure", "tokens"), set()),
        (("tls", "anonymous"), set()),
        (("tls", "tokens"), set()),
        (("mtls",), set()),
        (("mtls", "tokens"), set()),
    ],
)
def test_beyond_loopback_a_service_wants_tls_and_callers_it_knows_or_to_be_told_that_it_goes_without(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, given: tuple[str, ...], missing: set[str]
) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    (tmp_path / "tokens").write_text(f"web inference {'r' * 24}\n")
    tls = ["--tls-cert", str(pair.cert), "--tls-key", str(pair.key)]
    flags = {
        "insecure": ["--insecure"],
        "anonymous": ["--allow-anonymous"],
        "tokens": ["--tokens", str(tmp_path / "tokens")],
        "tls": tls,
        "mtls": [*tls, "--tls-client-ca", str(authority.cert)],
    }
    arguments = ["--store", "x", *(flag for name in given for flag in flags[name])]
    # On loopback everything goes.
    for host in ("127.0.0.9", "localhost", "::1"):
        assert load(ExampleSettings, "example", [*arguments, "--host", host]).host == host
    for host in ("0.0.0.0", "::", "example.org"):
        beyond = [*arguments, "--host", host]
        if missing:
            told = refusal(capsys, *beyond)
            assert f"host {host} is not loopback" in told
            assert {each for each in (NO_TLS, NO_CALLERS) if each in told} == missing
        else:
            assert load(ExampleSettings, "example", beyond).host == host


def test_who_waives_authorisation_and_gives_tokens_has_them_asked_for(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"web inference {'r' * 24}\n")
    waived = ["--store", "x", "--host", "0.0.0.0", "--insecure", "--allow-anonymous"]
    settings = load(ExampleSettings, "example", [*waived, "--tokens", str(tmp_path / "tokens")])
    assert authoriser(settings, {}) is not None
    assert settings.protection == "without TLS, tokens"
    anybody = load(ExampleSettings, "example", waived)
    assert authoriser(anybody, {}) is None
    assert anybody.protection == "without TLS, without tokens: whoever reaches it may call"


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


def test_one_variable_protects_every_service_and_a_services_own_goes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BAKEOFF_INSECURE", "1")
    monkeypatch.setenv("BAKEOFF_ALLOW_ANONYMOUS", "1")
    monkeypatch.setenv("BAKEOFF_PORT", "7000")
    monkeypatch.setenv("BAKEOFF_TLS_CERT", "")
    settings = load(ExampleSettings, "example", ["--store", "x", "--host", "0.0.0.0"])
    assert (settings.insecure, settings.allow_anonymous, settings.port, settings.tls) == (True, True, 0, None)
    monkeypatch.setenv("BAKEOFF_EXAMPLE_INSECURE", "0")
    assert NO_TLS in refusal(capsys, "--store", "x", "--host", "0.0.0.0")
    monkeypatch.setenv("BAKEOFF_EXAMPLE_INSECURE", "1")
    monkeypatch.setenv("BAKEOFF_EXAMPLE_ALLOW_ANONYMOUS", "0")
    assert NO_CALLERS in refusal(capsys, "--store", "x", "--host", "0.0.0.0")


def test_tokens_that_cannot_be_read_stop_the_start(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "token file" in refusal(capsys, "--store", "x", "--tokens", str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1:1"), ("localhost", "localhost:1"), ("::1", "[::1]:1")]
)
def test_an_ipv6_address_stands_in_brackets(host, address):
    assert joined(host, 1) == address
