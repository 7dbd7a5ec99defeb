import base64
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.prepared import Split
from core.schemas.results import TrainResult
from core.schemas.summary import Summary, parse_summary
from evaluator import report, text
from evaluator.report import charts, tables
from evaluator.report.cards import cards
from evaluator.report.columns import columns
from evaluator.report.csvfile import to_csv
from evaluator.report.html import render
from evaluator.report.markdown import to_markdown
from evaluator.report.samples import EDGE, LIMIT, pictures_of, samples_of
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment

RESULTS = Path(__file__).parents[3] / "docs/results"
HOSTILE = '</script><img src=x onerror="alert(1)">'


def summary_of(experiment: Experiment) -> Summary:
    return summarise(experiment.spec, experiment.results, experiment.probabilities, experiment.labels)


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summary_of(Experiment())


class Page(HTMLParser):
    """Collects what a page would load, its ids and its images' alternatives."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.labelled: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        address = values.get("src") or (values.get("href") if tag == "link" else None)
        if address and not address.startswith("data:"):
            self.fetched.append(address)
        if identity := values.get("id"):
            self.ids.append(identity)
        if label := values.get("aria-labelledby"):
            self.labelled.append(label)


def test_writes_its_files_and_returns_the_summary(tmp_path: Path) -> None:
    one = Experiment(seeds=(0,), arms=("matched",))
    found = report.write(one.spec, one.results, one.probabilities, one.test, one.samples(), tmp_path / "report")
    names = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert names == ["cards", "report.csv", "report.html", "report.md", "summary.json"]
    assert Summary.model_validate_json((tmp_path / "report" / "summary.json").read_bytes()) == found


def test_writing_again_replaces_the_files(tmp_path: Path) -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",))
    for _ in range(2):
        report.write(one.spec, one.results, one.probabilities, one.test, (), tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_the_page_loads_nothing_and_its_ids_are_unique(summary: Summary) -> None:
    page = Page(render(summary, (), {}, {}))
    assert page.fetched == []
    assert len(page.ids) == len(set(page.ids))
    assert set(page.labelled) <= set(page.ids)


@pytest.mark.parametrize(
    ("result", "sections"),
    [
        ("cifar10-search-small", {"search"}),
        ("s2-mnist-attribution", {"attribution", "claims"}),
        ("asl-split", {"splits"}),
    ],
)
def test_the_bar_leads_to_every_section_that_only_some_reports_have(result: str, sections: set[str]) -> None:
    kept = parse_summary((RESULTS / f"{result}.json").read_bytes(), result)
    page = render(kept, (), {}, {})
    bar = set(re.findall(r'<a href="#([\w-]+)">', page.partition("<nav")[2].partition("</nav>")[0]))
    assert bar <= set(Page(page).ids)
    assert bar & {"claims", "defaults", "search", "attribution", "splits"} == sections


def test_every_chart_element_has_a_figure_and_every_figure_an_element(summary: Summary) -> None:
    page = render(summary, (), {}, {})
    elements = set(re.findall(r'<div class="chart [^"]*" id="([^"]+)"', page))
    match = re.search(r'id="figures">(.*?)</script>', page)
    assert match is not None
    assert set(json.loads(match[1])) == elements


@pytest.mark.parametrize(
    "experiment",
    [
        Experiment(arms=("matched",), frameworks=("keras",), seeds=(0,), load_tests=False),
        Experiment(classes=("NORMAL", "PNEUMONIA"), seeds=(0,), frameworks=("fastai",)),
        Experiment(classes=tuple(f"class {n}" for n in range(29)), images=290, seeds=(0,), arms=("matched",)),
        Experiment(missing=("everything",), arms=()),
    ],
    ids=["one model, no load test", "two classes", "29 classes", "nothing worked"],
)
def test_every_shape_of_experiment_has_a_report(experiment: Experiment) -> None:
    found = summary_of(experiment)
    assert found.title in render(found, experiment.samples(), pictures_of(found, experiment.test), cards(found))
    assert found.title.split(" ")[0] in to_markdown(found)
    assert to_csv(found).count("\n") == len(found.rows) + 1


def test_names_from_outside_are_shown_as_text_and_never_as_markup() -> None:
    one = Experiment(classes=(HOSTILE, "b|c"), title=HOSTILE, seeds=(0,), arms=("matched",), frameworks=("keras",))
    found = summary_of(one)
    page = render(found, one.samples(), {}, cards(found))
    assert HOSTILE not in page
    assert "<img src=x" not in page
    assert "<img" not in to_markdown(summary_of(one)).replace("\\<img", "")


def test_an_incomplete_experiment_says_so_first(summary: Summary) -> None:
    broken = summary.model_copy(update={"missing": ("train keras: lost (memory)",)})
    for page in (render(broken, (), {}, cards(broken)), to_markdown(broken)):
        assert "ncomplete" in page
        assert page.index("train keras: lost") < page.index(summary.verdict.headline.split("(")[0])
    assert "ncomplete" not in to_markdown(summary)


def test_csv_holds_raw_figures_under_names_with_units(summary: Summary) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(summary))))
    first = summary.rows[0]
    assert first.load is not None
    assert float(lines[0]["accuracy"]) == first.accuracy
    assert float(lines[0]["p99_ms"]) == first.load.latency_ms.p99
    assert lines[0]["native_parity_largest"] == ""


def test_csv_holds_every_figure_of_a_load_test(summary: Summary) -> None:
    row = summary.rows[0]
    assert row.load is not None
    assert row.scores is not None
    line = next(csv.DictReader(io.StringIO(to_csv(summary))))
    assert {name: line[name] for name in ("load_counts", "load_repeats", "load_queries", "late_share")} == {
        "load_counts": "True", "load_repeats": "1", "load_queries": "2000", "late_share": ""
    }  # fmt: skip
    assert float(line["p99_at_most_ms"]) == row.load.upper_ms["p99"]
    assert float(line["mean_batch_images"]) == row.load.mean_batch
    assert float(line["server_queue_ms"]) == row.load.server_ms["queue"]
    assert line["server_postprocess_ms"] == ""
    assert float(line["top_5"]) == row.scores.top_k[5]


def test_markdown_tables_have_as_many_cells_in_every_line(summary: Summary) -> None:
    widths: set[int] = set()
    for line in [*to_markdown(summary).splitlines(), ""]:
        if line.startswith("|"):
            widths.add(len(re.findall(r"(?<!\\)\|", line)))
            continue
        assert len(widths) <= 1
        widths.clear()


def test_columns_nobody_measured_and_columns_that_never_vary_are_left_out() -> None:
    one = summary_of(Experiment(arms=("matched",), seeds=(0,), load_tests=False))
    titles = [column.title for column in columns(one.rows)]
    assert "p99" not in titles
    assert "Arm" not in titles
    assert "Seed" not in titles
    assert "Arm" in [column.title for column in columns(summary_of(Experiment(seeds=(0,))).rows)]


def test_the_best_figure_wins_and_a_contended_one_does_not(summary: Summary) -> None:
    p99 = next(column for column in columns(summary.rows) if column.title == "p99")
    rows = [row for row in summary.rows if row.load]
    fastest = min(rows, key=lambda row: row.load.latency_ms.p99 if row.load else 0)
    assert p99.wins(fastest, p99.best(summary.rows))
    assert fastest.load is not None
    contended = fastest.model_copy(update={"load": fastest.load.model_copy(update={"contended": True})})
    others = [contended if row is fastest else row for row in summary.rows]
    assert not p99.wins(contended, p99.best(others))
    assert sum(p99.wins(row, p99.best(others)) for row in others) == 1


def test_a_framework_has_one_colour_in_every_chart(summary: Summary) -> None:
    curve = charts.curves(summary.trainings, "validation_loss")
    assert {trace["line"]["color"] for trace in curve["data"] if trace["name"] == "Keras"} == {"var(--c-keras)"}
    colors = charts.latency(summary)["data"][0]["marker"]["color"]
    assert colors[:5] == ["var(--c-keras)"] * 3 + ["var(--c-tensorflow)"] * 2


def test_every_axis_has_a_name_for_the_table_of_its_chart(summary: Summary) -> None:
    page = render(summary, (), {}, {})
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.S)
    assert found
    for name, figure in json.loads(found[1]).items():
        heads, layout = figure["layout"].get("meta", {}), figure["layout"]
        for axis in ("x", "y"):
            assert heads.get(axis) or layout[f"{axis}axis"]["title"]["text"], f"{name} has no name for {axis}"


def test_lines_and_marks_of_one_framework_name_their_seed(summary: Summary) -> None:
    trainings = [training for training in summary.trainings if training.arm == "matched"]
    lines = [trace["meta"]["series"] for trace in charts.curves(trainings, "validation_loss")["data"]]
    assert len(set(lines)) == len(lines) == 12
    assert "Keras, seed 0" in lines
    marks = charts.seeds(summary.groups)["data"]
    assert [trace["name"] for trace in marks] == ["matched", "matched, mean", "idiomatic", "idiomatic, mean"]
    assert marks[0]["meta"]["names"][:3] == ["matched, seed 0", "matched, seed 1", "matched, seed 2"]
    assert [key.name for key in charts.legend(charts.seeds(summary.groups))] == ["matched", "idiomatic"]


def test_the_mean_over_seeds_has_its_interval_in_table_and_chart(summary: Summary) -> None:
    table = tables.seeds(summary.groups)
    place = table.headers.index("95% interval")
    spreads = [group.accuracy for group in summary.groups if group.accuracy]
    assert [row[place] for row in table.rows] == [text.interval(s.interval) for s in spreads if s.interval]
    points, means, *_ = charts.seeds(summary.groups)["data"]
    assert not points["error_y"]["visible"]
    assert means["error_y"]["array"] == pytest.approx([s.interval[1] - s.mean for s in spreads[:4] if s.interval])
    assert means["error_y"]["arrayminus"] == pytest.approx([s.mean - s.interval[0] for s in spreads[:4] if s.interval])


def test_a_mean_without_interval_has_a_dash_and_a_whisker_without_length(summary: Summary) -> None:
    group = summary.groups[0]
    assert group.accuracy is not None
    same = group.model_copy(update={"accuracy": group.accuracy.model_copy(update={"interval": None})})
    assert tables.seeds([same]).rows[0][5] == "–"
    bars = charts.seeds([same])["data"][1]["error_y"]
    assert (bars["array"], bars["arrayminus"]) == ([0], [0])


def test_the_chart_of_seeds_shows_intervals_no_further_than_accuracies_go(summary: Summary) -> None:
    group = summary.groups[0]
    assert group.accuracy is not None
    wide = group.model_copy(update={"accuracy": group.accuracy.model_copy(update={"interval": (-0.5, 1.5)})})
    assert charts.seeds([wide])["layout"]["yaxis"]["range"] == pytest.approx([-0.08, 1.08])


def test_where_the_time_goes_are_shares_of_all_seeds_with_their_mean_seconds(summary: Summary) -> None:
    bars = charts.phases(summary.trainings)["data"]
    assert {len(bar["x"]) for bar in bars} == {len(summary.groups)}
    assert [sum(shares) for shares in zip(*(bar["x"] for bar in bars), strict=True)] == pytest.approx([1] * 8)
    first = [t for t in summary.trainings if (t.arm, t.framework) == ("matched", "keras")]
    assert len(first) == 3
    train = next(bar for bar in bars if bar["name"] == "train")
    spent = sum(t.seconds["train"] for t in first)
    assert train["x"][0] == pytest.approx(spent / sum(sum(t.seconds.values()) for t in first))
    assert train["customdata"][0] == text.seconds(spent / 3)
    assert train["meta"]["x"][0].endswith(f"%, {text.seconds(spent / 3)}")


def test_a_pick_says_its_seed_even_if_that_is_zero(summary: Summary) -> None:
    page = render(summary, (), {}, {})
    served = re.findall(r'<span class="served">([^<]+)</span>', page)
    assert len(served) == len(summary.verdict.picks)
    for line, pick in zip(served, summary.verdict.picks, strict=True):
        assert line.endswith(f"· seed {summary.rows[pick.row].seed}")
    assert any(line.endswith("seed 0") for line in served)


def test_a_confusion_chart_separates_hits_from_misses(summary: Summary) -> None:
    result = summary.classifications[0]
    hits, misses = charts.confusion(result)["data"]
    diagonal = [row[i] for i, row in enumerate(result.confusion)]
    assert [row[i] for i, row in enumerate(hits["z"])] == diagonal
    assert sum(n or 0 for row in misses["z"] for n in row) == result.images - sum(diagonal)


def test_cells_too_small_for_figures_touch_and_are_never_pale(summary: Summary) -> None:
    few = summary.classifications[0]
    classes = tuple(few.classes[0].model_copy(update={"name": f"class {n}"}) for n in range(30))
    confusion = tuple(tuple(20 if i == j else int(j == i + 1) for j in range(30)) for i in range(30))
    many = few.model_copy(update={"classes": classes, "confusion": confusion})
    for trace in charts.confusion(many)["data"]:
        assert (trace["xgap"], trace["ygap"], trace["zmin"]) == (0, 0, -trace["zmax"])
    for trace in charts.confusion(few)["data"]:
        assert (trace["xgap"], trace["ygap"], trace["zmin"]) == (2, 2, 0)


def test_samples_are_one_small_picture_of_each_class_that_has_one() -> None:
    images = np.zeros((40, 300, 200, 3), np.uint8)
    split = Split(images, np.arange(40, dtype=np.int64) // 2)
    found = samples_of(split, tuple(map(str, range(21))))
    assert [sample.label for sample in found] == [str(n) for n in range(20)]
    assert found[0].data_uri.startswith("data:image/png;base64,")
    assert found[0].png[16:24] == (EDGE * 2 // 3).to_bytes(4, "big") + EDGE.to_bytes(4, "big")


def test_no_more_samples_than_the_limit() -> None:
    split = Split(np.zeros((100, 8, 8, 1), np.uint8), np.arange(100, dtype=np.int64))
    assert len(samples_of(split, tuple(map(str, range(100))))) == LIMIT


def test_many_confusion_matrices_are_chosen_from_a_list_and_few_by_buttons(summary: Summary) -> None:
    many = render(summary, (), {}, {})
    labels = re.findall(r'<option value="matrix-\d+">([^<]+)</option>', many)
    assert len(set(labels)) == len(labels) == len(summary.classifications) == 18
    few = render(summary_of(Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",))), (), {}, {})
    assert re.findall(r'type="radio" name="matrices" value="([^"]+)"', few) == ["matrix-0", "matrix-1", "matrix-2"]


def test_a_picture_that_many_artefacts_show_is_in_the_page_once() -> None:
    one = Experiment(arms=("matched",), seeds=(0,))
    found = summary_of(one)
    pictures = pictures_of(found, one.test)
    page = render(found, (), pictures, {})
    assert page.count('<image href="data:image/png;base64,') == len(pictures)
    assert page.count('<use href="#picture-') > 2 * len(pictures)


def solid(color: str) -> bytes:
    """A small PNG file of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), color).save(buffer, "PNG")
    return buffer.getvalue()


def test_augmented_samples_of_each_framework_are_in_the_page_and_equal_ones_once(tmp_path: Path) -> None:
    one = Experiment(seeds=(0, 1), arms=("matched",), frameworks=("keras", "pytorch", "fastai"), load_tests=False)
    colors = {"keras": "red", "pytorch": "blue", "fastai": "blue"}
    grids = {
        result.run_id: solid(colors[result.spec.framework] if result.spec.seed == 0 else "black")
        for result in one.results
        if isinstance(result, TrainResult)
    }
    report.write(one.spec, one.results, one.probabilities, one.test, (), tmp_path, grids)
    page = (tmp_path / "report.html").read_text()
    shown = re.findall(r'<img src="([^"]+)" alt="Augmented samples, ([^"]+)"><figcaption>\2</figcaption>', page)
    assert shown == [
        (f"data:image/png;base64,{base64.b64encode(solid(color)).decode()}", title)
        for color, title in (("red", "matched: Keras"), ("blue", "matched: PyTorch, fastai"))
    ]


def test_without_pictures_of_augmented_samples_there_is_no_section_of_them(summary: Summary) -> None:
    assert "Augmented training images" not in render(summary, (), {}, {})
