"""One self-contained HTML page: style, script, charts and pictures inside, nothing fetched."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from jinja2.utils import htmlsafe_json_dumps
from markdown_it import MarkdownIt
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from core.labels import FRAMEWORK_NAMES
from core.schemas.environment import Environment
from core.schemas.summary import Classification, Row, Summary, Training
from evaluator import naming, pareto, text
from evaluator.claims.own import judged
from evaluator.paired import ALPHA
from evaluator.report import (
    attribution,
    charts,
    claims,
    load_charts,
    load_tables,
    modes,
    operating_tables,
    parity_tables,
    quality_charts,
    quality_tables,
    search,
    seed_tables,
    split_tables,
    tables,
    variant_tables,
)
from evaluator.report.augmented import Augmented
from evaluator.report.columns import columns
from evaluator.report.recipes import describe_recipe
from evaluator.report.samples import Pictures, Sample

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("base.css", "parts.css", "print.css")
MATRICES = ("matrix", "agreement")
"""Charts without a legend, by the beginning of their ids."""
SCRIPTS = ("theme.js", "charts.js", "tables.js", "values.js")


@dataclass(frozen=True)
class Panel:
    """One of several alternatives the reader chooses from."""

    key: str
    label: str
    content: Any
    framework: str = ""


def render(
    summary: Summary,
    samples: Sequence[Sample],
    pictures: Pictures,
    cards: Mapping[str, str],
    augmented: Sequence[Augmented] = (),
) -> str:
    """The page as a string; a gallery's image that is not among the pictures is described in words alone.

    Args:
        cards: file name to Markdown.
        augmented: pictures of augmented training images.
    """
    curves = _curve_panels(summary)
    matrices = _matrix_panels(summary.classifications)
    qualities = _quality_panels(summary)
    robust = _robustness_panels(summary)
    figures = _figures(summary, curves, matrices) | _quality_figures(summary, qualities)
    figures |= _robustness_figures(summary, robust)
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            summary=summary,
            text=text,
            naming=naming,
            tables=tables,
            variants=variant_tables,
            over_seeds=seed_tables,
            findings=judged(summary),
            claims=claims,
            modes=modes,
            attribution=attribution,
            search=search,
            splits=split_tables,
            load_tables=load_tables,
            quality=quality_tables,
            operating=operating_tables,
            robust=robust,
            parities=_parity_panels(summary),
            cards=_rendered(cards),
            alpha=ALPHA,
            artefact=quality_charts.artefact,
            zoomed={name: quality_charts.zoomed(figures[name]) for name in figures if name.startswith(("roc-", "pr-"))},
            qualities=qualities,
            pictures=pictures,
            facts=_facts(summary),
            columns=columns(summary.rows),
            bests={column.title: column.best(summary.rows) for column in columns(summary.rows)},
            domain=_domain(summary.rows),
            loaded=charts.loaded_rows(summary),
            curves=curves,
            matrices=matrices,
            recipes=[(arm, describe_recipe(arm)) for arm in summary.arms],
            machines=machines(summary),
            settings=describe_load(summary),
            samples=samples,
            augmented=augmented,
            frameworks={text.framework(name): name for name in FRAMEWORK_NAMES},
            bar_height=charts.bar_height,
            commands=commands(summary),
            experiment_json=_pretty(summary.spec_json),
            legends={name: charts.legend(figures[name]) for name in figures if not name.startswith(MATRICES)},
            figures=htmlsafe_json_dumps(figures),
            style=Markup("\n".join((TEMPLATES / name).read_text() for name in STYLES)),
            script=Markup("\n".join((TEMPLATES / name).read_text() for name in SCRIPTS)),
            plotly=Markup(get_plotlyjs()),
        )
    )


def commands(summary: Summary) -> list[tuple[str, str]]:
    """What repeats the experiment and uses its winner: a comment and a command each."""
    found = [("Run the frozen experiment below, saved under this name", f"bakeoff run {summary.experiment}.json")]
    if summary.verdict.row is not None:
        model = summary.rows[summary.verdict.row].model
        found.append(("Ask the recommended artefact", f"bakeoff predict --model {model} image.png"))
    return found


def describe_machine(environment: Environment) -> str:
    """One line: processor, quota, threads, memory and system."""
    return (
        f"{environment.cpu_model}, {environment.cpu_quota:g} cores, {text.count(environment.threads, 'thread')}, "
        f"{text.size(environment.memory_bytes)} memory, {environment.platform}, host {environment.host}"
    )


def machines(summary: Summary) -> list[tuple[str, str]]:
    """What was measured where, one line for each machine."""
    found: dict[str, list[str]] = {}
    for place in summary.places:
        found.setdefault(describe_machine(place.environment), []).extend(place.roles)
    return [(", ".join(dict.fromkeys(roles)), machine) for machine, roles in found.items()]


def describe_load(summary: Summary) -> str:
    """One line: how the load tests of the table were driven."""
    load = next((row.load for row in summary.rows if row.load), None)
    if load is None:
        return ""
    repeats = len(load.runs)
    runs = f"in {repeats} repeats, interleaved over the artefacts" if repeats > 1 else "one run each"
    loop = f"{load.loop.capitalize()} loop, {text.count(load.users, 'user')}" if load.loop == "closed" else load.label
    return (
        f"{loop}, {text.count(load.batch_size, 'image')} per request, {text.seconds(load.seconds)} measured after "
        f"warm-up, {runs}"
    )


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _facts(summary: Summary) -> list[tuple[str, str, str]]:
    """Title, figure and explanation of the page's head."""
    facts = []
    if data := summary.data:
        total = sum(data.images(split) for split in data.counts)
        height, width, channels = data.image.shape
        facts.append(("Images", f"{total:,}", f"{len(data.classes)} classes, {height}×{width}×{channels}"))
    frameworks = {training.framework for training in summary.trainings}
    seeds = {training.seed for training in summary.trainings}
    counts = ((summary.arms, "arm"), (frameworks, "framework"), (seeds, "seed"))
    shape = ", ".join(text.count(len(items), noun) for items, noun in counts)
    facts.append(("Trainings", str(len(summary.trainings)), shape))
    scored = sum(row.accuracy is not None for row in summary.rows)
    facts.append(("Artefacts scored", str(scored), f"of {len(summary.exports)} exported"))
    requests = sum(load.requests for load in summary.loads)
    facts.append(("Load tests", str(len(summary.loads)), text.count(requests, "request")))
    return facts


def _domain(rows: Sequence[Row]) -> tuple[float, float]:
    """The range the small interval pictures of the table span."""
    bounds = [bound for row in rows if row.accuracy_interval for bound in row.accuracy_interval]
    if not bounds:
        return (0.0, 1.0)
    low, high = min(bounds), max(bounds)
    margin = 0.04 * (high - low) or 0.01
    return (low - margin, high + margin)


def _curve_panels(summary: Summary) -> list[Panel]:
    return [
        Panel(f"curves-{number}", arm.name, [t for t in summary.trainings if t.arm == arm.name])
        for number, arm in enumerate(summary.arms)
    ]


def _matrix_panels(results: Sequence[Classification]) -> list[Panel]:
    return [
        Panel(f"matrix-{number}", _matrix_label(result, results), result, result.framework)
        for number, result in enumerate(results)
    ]


def _matrix_label(result: Classification, among: Sequence[Classification]) -> str:
    """Framework and how it is served, with arm and seed where artefacts differ in them."""
    parts = [text.framework(result.framework), naming.served(result)]
    parts += [result.arm] if len({c.arm for c in among}) > 1 else []
    parts += [f"s{result.seed}"] if len({c.seed for c in among}) > 1 else []
    return " ".join(parts)


def _quality_panels(summary: Summary) -> list[Panel]:
    """One for each arm with scores of probabilities."""
    panels = []
    for number, arm in enumerate(summary.arms):
        mine = [c for c in summary.representatives if c.arm == arm.name]
        own = [c for c in mine if c.row is not None and summary.rows[c.row].scores]
        if own:
            panels.append(Panel(f"quality-{number}", arm.name, own))
    return panels


def _parity_panels(summary: Summary) -> list[Panel]:
    """One for each training whose artefacts were compared with each other."""
    return [
        Panel(f"parities-{number}", parity_tables.label(row), table, row.framework)
        for number, (row, table) in enumerate(parity_tables.matrices(summary))
    ]


def _robustness_panels(summary: Summary) -> list[Panel]:
    """One for each arm that was scored under corruptions."""
    found = []
    for number, arm in enumerate(summary.arms):
        rows = [row for row in operating_tables.corrupted_rows(summary.rows) if row.arm == arm.name]
        if rows:
            found.append(Panel(f"robust-{number}", arm.name, operating_tables.kinds(rows)))
    return found


def _robustness_figures(summary: Summary, panels: Sequence[Panel]) -> dict[str, charts.Figure]:
    """A chart for each arm and corruption by element id."""
    rows = operating_tables.corrupted_rows(summary.rows)
    return {
        f"{panel.key}-{kind}": operating_tables.robustness_curves([r for r in rows if r.arm == panel.label], kind)
        for panel in panels
        for kind in panel.content
    }


def _rendered(cards: Mapping[str, str]) -> dict[str, Markup]:
    """Cards as HTML; HTML inside them stays text."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    return {name: Markup(markdown.render(card)) for name, card in cards.items()}


def _quality_figures(summary: Summary, panels: Sequence[Panel]) -> dict[str, charts.Figure]:
    """Charts of probabilities, agreement and trade-offs by element id."""
    figures: dict[str, charts.Figure] = {}
    for panel in panels:
        figures[f"reliability-{panel.key}"] = quality_charts.reliability(panel.content, summary.rows)
        figures[f"roc-{panel.key}"] = quality_charts.roc(panel.content)
        figures[f"pr-{panel.key}"] = quality_charts.precision_recall(panel.content)
    if summary.agreement:
        figures["agreement-matrix"] = quality_charts.agreement(summary.agreement, summary.rows)
    if pareto.candidates(summary.rows):
        figures["trade-off"] = quality_charts.trade_offs(summary)
    return figures


def _figures(summary: Summary, curves: Sequence[Panel], matrices: Sequence[Panel]) -> dict[str, charts.Figure]:
    """All charts by element id."""
    figures: dict[str, charts.Figure] = {}
    for panel in curves:
        trainings: list[Training] = panel.content
        figures[f"{panel.key}-accuracy"] = charts.curves(trainings, "validation_accuracy")
        figures[f"{panel.key}-loss"] = charts.curves(trainings, "validation_loss")
    if summary.trainings:
        figures["phases"] = charts.phases(summary.trainings)
    if any(group.seeds for group in summary.groups):
        figures["seeds"] = charts.seeds(summary.groups)
    if summary.defaults:
        figures["modes"] = modes.chart(summary.defaults)
    if summary.search:
        figures["trials"] = search.chart(summary.search)
    if summary.attribution:
        figures["waterfall"] = attribution.waterfall(summary.attribution)
    if charts.loaded_rows(summary):
        figures |= {"latency": charts.latency(summary), "throughput": charts.throughput(summary)}
    figures |= load_charts.figures(summary)
    figures |= {panel.key: charts.confusion(panel.content) for panel in matrices}
    return figures


def _pretty(document: str) -> str:
    """Indented JSON; text that is none stays as it is."""
    try:
        return json.dumps(json.loads(document), indent=2, ensure_ascii=False)
    except ValueError:
        return document
