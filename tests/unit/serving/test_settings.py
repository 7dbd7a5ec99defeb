import pytest

from services.rpc.settings import load
from services.serving.settings import ServingSettings


def test_models_named_at_start_need_explicit_control(capsys):
    with pytest.raises(SystemExit):
        load(ServingSettings, "serve", ["--runtime", "onnxruntime", "--repository", "x", "--load-model", "m"])
    assert "--load-model goes with --model-control explicit, not poll" in capsys.readouterr().err


def test_a_limit_that_only_envoy_has_is_refused_elsewhere(capsys):
    with pytest.raises(SystemExit):
        load(ServingSettings, "serve", ["--runtime", "onnxruntime", "--repository", "x", "--max-in-flight", "5"])
    assert "--max-in-flight goes with --transport envoy, not grpcio; it has --max-queue" in capsys.readouterr().err


def test_the_flag_for_models_at_start_may_be_repeated():
    flags = ["--runtime", "onnxruntime", "--repository", "x", "--model-control", "explicit"]
    loaded = load(ServingSettings, "serve", [*flags, "--load-model", "a", "--load-model", "b"])
    assert loaded.load_model == ("a", "b")


def test_an_unknown_runtime_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        load(ServingSettings, "serve", ["--runtime", "tpu", "--repository", "x"])
    assert "'onnxruntime', 'openvino', 'openvino-bf16', 'tensorflow' or 'pytorch'" in capsys.readouterr().err


def test_help_names_every_environment_variable(capsys):
    with pytest.raises(SystemExit):
        load(ServingSettings, "serve", ["--help"])
    text = capsys.readouterr().out
    assert all(f"BAKEOFF_SERVING_{name.upper()}" in text for name in ServingSettings.model_fields)


@pytest.mark.parametrize(("scheme", "why"), [("oci", "Install ocifs"), ("nowhere", "Protocol not known: nowhere")])
def test_a_repository_that_nothing_here_can_read_stops_the_start(capsys, tmp_path, scheme, why):
    flags = ["--runtime", "onnxruntime", "--repository", f"{scheme}://bucket/models", "--cache", str(tmp_path)]
    with pytest.raises(SystemExit):
        load(ServingSettings, "serve", flags)
    said = capsys.readouterr().err
    assert f"--repository {scheme}://bucket/models cannot be read here: {why}" in said
    assert "extra s3" in said
