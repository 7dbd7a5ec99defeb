import pytest
from pydantic_settings import SettingsConfigDict

from services.rpc.settings import ServiceSettings, help_text, load


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
