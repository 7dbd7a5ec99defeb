from pathlib import Path

import pytest

from core.errors import InvalidInputError
from services.client.security import Security, from_environment

TOKEN = "s" * 24


def test_the_environment_says_how_calls_are_protected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_TLS_CA", "ca.pem")
    monkeypatch.setenv("BAKEOFF_TOKEN", TOKEN)
    found = from_environment()
    assert found.tls_ca == "ca.pem"
    assert found.metadata("elsewhere:7111") == (("authorization", f"Bearer {TOKEN}"),)
    assert TOKEN not in repr(found)


@pytest.mark.parametrize("target", ["127.0.0.1:1", "localhost:1", "ipv4:127.0.0.9:1", "[::1]:1", "unix:/tmp/x"])
def test_on_loopback_a_token_needs_no_tls(target: str) -> None:
    assert Security(token=TOKEN).metadata(target)


@pytest.mark.parametrize("target", ["example.org:443", "10.0.0.1:1", "dns:///serving:7111", "ipv4:10.0.0.1:1"])
def test_a_token_never_travels_in_the_open_unasked(target: str) -> None:
    with pytest.raises(InvalidInputError, match=r"BAKEOFF_TOKEN would go to .* without TLS"):
        Security(token=TOKEN).metadata(target)
    assert Security(token=TOKEN, insecure=True).metadata(target)
    assert Security().metadata(target) == ()


def test_a_file_that_is_not_there_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"BAKEOFF_TLS_CA=.*absent.pem cannot be read"):
        Security(tls_ca=str(tmp_path / "absent.pem")).channel("127.0.0.1:1")


def test_a_variable_with_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_INSECURE", "perhaps")
    with pytest.raises(InvalidInputError, match="BAKEOFF_INSECURE: "):
        from_environment()
