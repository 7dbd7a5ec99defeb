"""A search's trials as table and chart."""

import statistics

import plotly.graph_objects as go

from core.schemas.search import Scalar, SearchOutcome, Trial
from evaluator import text
from evaluator.report.charts import Figure, as_json, color, table_heads
from evaluator.report.tables import Table

MARKS = {"complete": ("circle", "pytorch"), "pruned": ("diamond-open", "muted"), "failed": ("x-thin-open", "keras")}
"""Sign and colour of each state."""


def sentence(found: SearchOutcome) -> str:
    """How many trials there were, what became of them, and which was best."""
    states = [trial.state for trial in found.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in MARKS if state in states)
    begin = f"{text.count(len(states), 'trial')} of arm {found.plan.arm} in {text.framework(found.plan.framework)} by "
    method = {"grid": "grid", "random": "random search", "bayes": "Bayesian search"}[found.plan.method]
    best = next((trial for trial in found.trials if trial.number == found.best), None)
    if best is None or best.value is None:
        return f"{begin}{method}: {counts or 'none'}. None was completed."
    chosen = ", ".join(f"{key} {_show(value)}" for key, value in best.parameters.items())
    return f"{begin}{method}: {counts}. Best: trial {best.number} with {text.percent(best.value)} ({chosen})."


def table(found: SearchOutcome) -> Table:
    """Every trial, the best first, failed ones last."""
    keys = list(found.plan.space)
    headers = ("Trial", "State", *keys, "Epochs", "Validation accuracy", "Why")
    order = {state: number for number, state in enumerate(MARKS)}
    ranked = sorted(found.trials, key=lambda trial: (order[trial.state], -(trial.value or 0.0), trial.number))
    rows = tuple(_row(trial, keys) for trial in ranked)
    return Table("Trials, the best first; a pruned one shows its last epoch", headers, rows, names=2)


def chart(found: SearchOutcome) -> Figure:
    """Trials by number, one sign for each state, and the best so far as a line."""
    figure = go.Figure()
    for state, (symbol, name) in MARKS.items():
        trials = [trial for trial in found.trials if trial.state == state and trial.value is not None]
        if trials:
            figure.add_scatter(
                x=[trial.number for trial in trials],
                y=[trial.value for trial in trials],
                name=state,
                mode="markers",
                marker={"symbol": symbol, "size": 9, "color": color(name)},
                hovertemplate=f"trial %{{x}}, {state}: %{{y:.2%}}<extra></extra>",
            )
    best = _best_so_far(found)
    figure.add_scatter(
        x=[number for number, _ in best],
        y=[value for _, value in best],
        mode="lines",
        line={"shape": "hv", "color": color("muted"), "width": 1.5},
        showlegend=False,
        hoverinfo="skip",
    )
    figure.update_layout(
        xaxis={"title": {"text": "Trial"}},
        yaxis={"tickformat": ".0%"},
        meta=table_heads(series="State", y="Validation accuracy"),
    )
    return as_json(figure)


def _best_so_far(found: SearchOutcome) -> list[tuple[int, float]]:
    points: list[tuple[int, float]] = []
    for trial in found.trials:
        if trial.state == "complete" and trial.value is not None:
            points.append((trial.number, max(trial.value, points[-1][1] if points else 0.0)))
    return points


def _row(trial: Trial, keys: list[str]) -> tuple[str, ...]:
    parameters = [_show(trial.parameters[key]) if key in trial.parameters else text.MISSING for key in keys]
    value = text.MISSING if trial.value is None else text.percent(trial.value)
    if trial.folds:
        value += f", standard deviation {text.points(statistics.stdev(trial.folds))} over {len(trial.folds)} folds"
    return (str(trial.number), trial.state, *parameters, str(trial.epochs), value, trial.reason or text.MISSING)


def _show(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
