"""Keeping results and writing the page from them, with a kept result changed here: TEST DATA where figures are."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInputError
from core.schemas.experiment import Experiment
from tools.studies import DOCS, committed, main, write

SUMMARY = DOCS / "results" / "s3-chest-xray-matched.json"
"""A small one."""


def changed(folder: Path, name: str, report: str | None = None, **changes: Any) -> Path:
    """A summary as a run with overrides leaves it."""
    document = json.loads(SUMMARY.read_text())
    experiment = json.loads(document["spec_json"]) | {"name": name} | changes
    document |= {"spec_json": json.dumps(experiment), "experiment": report or name}
    path = folder / f"{name}-summary.json"
    path.write_text(json.dumps(document))
    return path


def text(docs: Path) -> str:
    return (docs / "studies.md").read_text()


def test_a_renamed_experiment_is_kept_and_breaks_no_later_page(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (kept,) = write(docs, [changed(tmp_path, "xray-again")])
    assert kept == docs / "results" / "xray-again.json"
    assert "> **Not in experiments/:** there is no `xray-again.yaml`" in text(docs)
    before = text(docs)
    assert write(docs) == []
    assert text(docs) == before
    (link,) = set(re.findall(r"\]\(([^)#]*training-speed.md)#", before))
    assert (docs / link).is_file()


def test_a_scale_that_the_file_has_not_is_said_too(tmp_path: Path) -> None:
    write(tmp_path, [changed(tmp_path, "s3-chest-xray", "s3-chest-xray-mine", scale="mine")])
    assert "there is no `s3-chest-xray.yaml` with a scale `mine`" in text(tmp_path)


def test_an_override_is_said_to_differ_from_the_file(tmp_path: Path) -> None:
    write(tmp_path, [changed(tmp_path, "s3-chest-xray", "s3-chest-xray-matched", seeds=[5, 6, 7])])
    assert re.search("what was measured differs from `s3-chest-xray.yaml` in .*`seeds`", text(tmp_path))


def test_what_cannot_be_kept_is_told_in_a_line_and_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["studies", "keep", "--docs", str(tmp_path / "docs"), "--shared-arm", "nope", str(SUMMARY)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert re.search(r"^python -m tools.studies: .* has no trainings of arm nope; it has: ", capsys.readouterr().err)
    assert not (tmp_path / "docs").exists()


def test_studies_without_a_result_are_listed(tmp_path: Path) -> None:
    write(tmp_path, [SUMMARY])
    assert "`s1-asl.yaml`: no result." in text(tmp_path)
    assert "| [S5](#s5) | – | – | – | – | no result |" in text(tmp_path)
    assert "s3-chest-xray.yaml`: no result" not in text(tmp_path)


def test_nothing_is_written_where_one_of_several_cannot_be_kept(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    with pytest.raises(InvalidInputError, match="is no study's"):
        write(docs, [SUMMARY, changed(tmp_path, "other", study=None)])
    assert not docs.exists()


def test_a_file_that_cannot_be_read_at_any_scale_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s3-chest-xray.yaml").write_text("name: [")
    monkeypatch.setattr("tools.studies.EXPERIMENTS", tmp_path)
    kept = Experiment.model_validate_json(json.loads(SUMMARY.read_text())["spec_json"])
    with pytest.raises(InvalidInputError, match="not valid YAML"):
        committed(kept)
