import json

import pytest

from core.errors import InvalidInputError, NotFoundError
from core.schemas.specs import LoadTestSpec
from loadtests.run_folder import LoadTestFolder

SPEC = LoadTestSpec(model="m", version=1, artifact="a" * 64, runtime="onnxruntime", data="b" * 64)


def test_progress_is_readable_line_by_line_while_the_test_runs(tmp_path):
    with LoadTestFolder(tmp_path) as folder:
        folder.progress("warm-up", 0.5, 1.0, {"requests": 3.0})
        folder.progress("measure", 0.25, 5.0, {})
        lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"phase": "warm-up", "done": 0.5, "total": 1.0, "unit": "s", "values": {"requests": 3.0}},
        {"phase": "measure", "done": 0.25, "total": 5.0, "unit": "s", "values": {}},
    ]


def test_what_an_earlier_attempt_left_is_cleared(tmp_path):
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "events.jsonl").write_text("{}\n")
    with LoadTestFolder(tmp_path):
        pass
    assert not (tmp_path / "result.json").exists()
    assert (tmp_path / "events.jsonl").read_text() == ""


def test_the_spec_is_read_with_its_defaults(tmp_path):
    (tmp_path / "spec.json").write_text(SPEC.model_dump_json(exclude_defaults=True))
    assert LoadTestFolder(tmp_path).spec() == SPEC


def test_a_wrong_key_in_the_spec_is_named(tmp_path):
    (tmp_path / "spec.json").write_text(SPEC.model_copy(update={"users": 0}).model_dump_json())
    with pytest.raises(InvalidInputError, match=r"spec\.json is not valid: users"):
        LoadTestFolder(tmp_path).spec()


def test_a_folder_without_spec_says_what_belongs_there(tmp_path):
    with pytest.raises(NotFoundError, match=r"spec\.json does not exist"):
        LoadTestFolder(tmp_path).spec()


def test_progress_outside_of_a_run_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="not open"):
        LoadTestFolder(tmp_path).progress("measure", 0, 1, {})
