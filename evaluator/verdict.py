"""What to ship: the best artefact by each measure, what it costs elsewhere, and how sure that is."""

from collections.abc import Callable, Sequence

from core import percentiles, repeats
from core.measures import ERRORS_ALLOWED
from core.schemas.loads import Load
from core.schemas.scenarios import TARGET_PERCENTILE
from core.schemas.summary import Pick, PickKind, Row, Verdict
from evaluator import naming, text
from evaluator.paired import ALPHA
from evaluator.statistics import overlap

Indexed = tuple[int, Row]


def decide(rows: Sequence[Row]) -> Verdict:
    """Chooses among the rows that were scored; rows without accuracy cannot be recommended."""
    scored = [(index, row) for index, row in enumerate(rows) if row.accuracy is not None]
    if not scored:
        return Verdict(headline="No verdict", reason="No artefact was scored, so there is nothing to recommend.")
    index = most_accurate(rows)
    assert index is not None, "there are scored rows"
    best = (index, rows[index])
    timed = [(index, row) for index, row in scored if row.load and comparable(row.load)]
    picks = [_accuracy(scored, best)]
    if timed:
        supported = _supported(timed)
        picks += [_p99(supported, best, len(timed) - len(supported))] if supported else []
        picks.append(_throughput(timed, best))
    if accounted := [(index, row) for index, row in timed if row.load and row.load.cpu_runs]:
        picks.append(_cpu(accounted, best))
    picks.append(_size(scored, best))
    return _recommend(scored, timed, best, tuple(picks))


def most_accurate(rows: Sequence[Row]) -> int | None:
    """Index of the row with the highest accuracy, of equals the lowest log loss; None where nothing was scored."""
    scored = [index for index, row in enumerate(rows) if row.accuracy is not None]
    return max(scored, key=lambda i: (rows[i].accuracy or 0.0, -(rows[i].log_loss or 0.0)), default=None)


def comparable(load: Load) -> bool:
    """False for a load test that is not valid, overlapped with other timed work, or failed too often."""
    return load.counts and load.error_share <= ERRORS_ALLOWED


def _supported(timed: Sequence[Indexed]) -> list[Indexed]:
    """Those whose queries are enough for p99."""
    return [item for item in timed if item[1].load and item[1].load.supports(TARGET_PERCENTILE)]


def describe(row: Row) -> str:
    """`PyTorch, ONNX on ONNX Runtime (matched, seed 0)`."""
    served = f"{naming.made(row)} on {text.runtime(row.runtime)}"
    return f"{text.framework(row.framework)}, {served} ({row.arm}, seed {row.seed})"


def same_accuracy(row: Row, best: Row) -> bool:
    """True when no difference between a scored row and the most accurate one is shown.

    By their paired test where there is one, otherwise by whether their intervals overlap.
    """
    if row is best:
        return True
    if row.against_best:
        return row.against_best.p_adjusted >= ALPHA
    return bool(
        row.accuracy_interval and best.accuracy_interval and overlap(row.accuracy_interval, best.accuracy_interval)
    )


def method(scored: Sequence[Indexed], best: Indexed) -> str:
    """Which test decides, in a sentence; empty for a single candidate."""
    others = [row for index, row in scored if index != best[0]]
    paired = sum(row.against_best is not None for row in others)
    if not others:
        return ""
    intervals = "their 95% Wilson intervals overlap"
    if not paired:
        return f"“No difference shown” means that {intervals}: there are no predictions to compare image by image."
    mcnemar = (
        f"McNemar’s exact test on the same {best[1].images:,} images, corrected by Holm for "
        f"{text.count(paired, 'comparison')} with the most accurate artefact, gives p of {ALPHA:g} or more"
    )
    if paired == len(others):
        return f"“No difference shown” means that {mcnemar}."
    return (
        f"“No difference shown” means that {mcnemar}; for {len(others) - paired} without predictions, that {intervals}."
    )


def _recommend(scored: list[Indexed], timed: list[Indexed], best: Indexed, picks: tuple[Pick, ...]) -> Verdict:
    """Of the rows whose accuracy cannot be told from the best the fastest, or the smallest of those not separable."""
    equal = [item for item in scored if same_accuracy(item[1], best[1])]
    fast = [item for item in _supported(timed) if item in equal]
    group = _not_separable(fast, repeats.p99) if fast else equal
    index, row = min(group, key=_size_of)
    headline = f"Ship {describe(row)}"
    if len(scored) == 1:
        headline = f"Only candidate: {describe(row)}"
        reason = f"It is the only artefact scored: {_accuracy_of(row)} of {row.images:,} test images correct."
    elif len(equal) == 1:
        reason = f"Its accuracy of {_accuracy_of(row)} is above {_others(len(scored) - 1)}, {_shown_by(scored)}."
    else:
        if fast and len(group) > 1:
            headline += f", the smallest of {len(group)} whose p99 is not separable"
        smallest = f"it is the smallest of them, {text.size(row.size_bytes)}."
        why = _why(row, fast, group) if fast else f"{smallest} {_nothing(equal, timed)}"
        reason = f"{_tie(len(equal), len(scored))}; {why} {_measured(row, best[1])}"
    known = " ".join(part for part in (method(scored, best), _latency_method(timed), _too_few(timed)) if part)
    return Verdict(headline=headline, reason=reason, row=index, picks=picks, method=known)


def _nothing(equal: list[Indexed], timed: list[Indexed]) -> str:
    """Why no latency decides."""
    if not any(row.load for _, row in equal):
        return "There is no load test to compare."
    if not any(item in timed for item in equal):
        return "No load test of them counts."
    return "No load test of them is enough for p99."


def _tie(equal: int, scored: int) -> str:
    if equal == scored:
        return f"No difference in accuracy is shown between the {scored} artefacts"
    return f"{equal} of {scored} artefacts cannot be told from the best by accuracy"


def _why(row: Row, fast: list[Indexed], group: list[Indexed]) -> str:
    assert row.load is not None, "only rows with a load test are ranked by it"
    if len(group) == 1:
        shown = f"{text.milliseconds(repeats.typical(row.load, repeats.p99))} "
        shown += f"({_spread_of(row.load, repeats.p99, text.milliseconds)})"
        others = [other.load for _, other in fast if other is not row and other.load]
        if not others:
            return f"its p99 of {shown} is the only one measured among them."
        clear = all(repeats.apart(row.load.p99_runs, other.p99_runs) for other in others)
        apart = ", below every repeat of the others" if clear else ""
        return f"its p99 of {shown} is the lowest of {len(fast)} measured among them{apart}."
    rest = "" if len(group) == len(fast) else f" of the {len(fast)} measured among them"
    return (
        f"{len(group)}{rest} are not separable by p99 ({_names(group)}), and it is the smallest of these, "
        f"{text.size(row.size_bytes)}."
    )


def _names(group: list[Indexed]) -> str:
    """The group by format, with the frameworks: `ONNX of Keras and PyTorch; .pt2 of fastai`."""
    formats = dict.fromkeys(naming.served(row) for _, row in group)
    makers = {
        name: list(dict.fromkeys(text.framework(row.framework) for _, row in group if naming.served(row) == name))
        for name in formats
    }
    return "; ".join(f"{name} of {text.names(found)}" for name, found in makers.items())


def _not_separable(items: list[Indexed], figures: repeats.Figures) -> list[Indexed]:
    """The rows that are not shown to be worse than the one with the lowest median."""
    best = min(items, key=lambda item: _typical(item, figures))
    assert best[1].load is not None, "only rows with a load test are ranked by it"
    return [item for item in items if item[1].load and not repeats.separable(best[1].load, item[1].load, figures)]


def _typical(item: Indexed, figures: repeats.Figures) -> float:
    load = item[1].load
    return repeats.typical(load, figures) if load else float("inf")


def _spread_of(load: Load, figures: repeats.Figures, show: Callable[[float], str]) -> str:
    """`1.10 ms to 1.40 ms over 3 repeats`."""
    values = figures(load)
    if len(values) == 1:
        return "one run"
    return f"{show(min(values))} to {show(max(values))} over {len(values)} repeats"


def _latency_method(timed: list[Indexed]) -> str:
    """What “not separable” means here; empty where nothing is compared."""
    loads = [row.load for _, row in timed if row.load]
    if len(loads) < 2:
        return ""
    if repeats.repeated(loads, repeats.p99):
        count = min(len(load.p99_runs) for load in loads)
        return f"“Not separable” means that the ranges over {count} interleaved repeats overlap."
    return (
        f"Load tests were run fewer than {repeats.REPEATS_NEEDED} times, so their noise is not known: “not separable” "
        f"means within a factor of {repeats.FACTOR:g}, a margin chosen and not measured. Set loadtest.repeats for more."
    )


def _too_few(timed: list[Indexed]) -> str:
    """Which load tests say nothing about p99; empty where all do."""
    left_out = len(timed) - len(_supported(timed))
    if not left_out:
        return ""
    needed = percentiles.queries_needed(TARGET_PERCENTILE)
    return (
        f"{text.count(left_out, 'load test')} of {len(timed)} had fewer than the {needed} queries that p99 takes at "
        "99% confidence and took no part in it; set loadtest.min_queries for more."
    )


def _measured(row: Row, best: Row) -> str:
    if row.accuracy == best.accuracy:
        return f"Its accuracy of {_accuracy_of(row)} is the best measured."
    return f"Its accuracy measured {_accuracy_of(row)}, the best {_accuracy_of(best)}."


def _accuracy_of(row: Row) -> str:
    return text.percent(row.accuracy or 0.0)


def _accuracy(scored: list[Indexed], best: Indexed) -> Pick:
    index, row = best
    others = [other for i, other in scored if i != index]
    tied = sum(same_accuracy(other, row) for other in others)
    known = f"95% interval {text.interval(row.accuracy_interval or (0, 1))} on {row.images:,} images. "
    if not others:
        known += "Nothing to compare it with."
    elif tied == len(others):
        known += f"No difference shown from {_others(tied)}."
    elif tied:
        known += f"No difference shown from {tied} of {len(others)} others."
    else:
        known += f"Above {_others(len(others))}, {_shown_by(scored)}."
    return Pick(kind="accuracy", title="Best accuracy", row=index, value=_accuracy_of(row), detail=known)


def _p99(supported: list[Indexed], best: Indexed, left_out: int) -> Pick:
    pick = _measured_pick("p99", "Lowest p99 latency", supported, repeats.p99, text.milliseconds, best)
    if not left_out:
        return pick
    needed = percentiles.queries_needed(TARGET_PERCENTILE)
    return pick.model_copy(update={"detail": f"{pick.detail} Left out: {left_out} with fewer than {needed} queries."})


def _throughput(timed: list[Indexed], best: Indexed) -> Pick:
    def value(images: float) -> str:
        return f"{text.significant(images)} img/s"

    ranked = repeats.seconds_per_image
    return _measured_pick("throughput", "Highest throughput", timed, ranked, value, best, repeats.throughput)


def _cpu(accounted: list[Indexed], best: Indexed) -> Pick:
    def value(milliseconds: float) -> str:
        return f"{text.significant(milliseconds)} ms/img"

    return _measured_pick("cpu", "Cheapest by server CPU", accounted, repeats.cpu_ms, value, best)


def _measured_pick(
    kind: PickKind,
    title: str,
    rows: list[Indexed],
    figures: repeats.Figures,
    show: Callable[[float], str],
    best: Indexed,
    shown: repeats.Figures | None = None,
) -> Pick:
    """The row with the lowest median, with its spread and what it cannot be told from.

    Args:
        figures: what rows are ranked by, less is better.
        shown: what is printed of them; None: the same.
    """
    shown = shown or figures
    ranked = sorted(rows, key=lambda item: _typical(item, figures))
    index, row = ranked[0]
    assert row.load is not None, "only rows with a load test are ranked by it"
    tied = len(_not_separable(rows, figures)) - 1
    detail = _price(row, best[1])
    if len(figures(row.load)) > 1:
        detail += f" {_spread_of(row.load, shown, show)}."
    if tied:
        detail += f" Not separable from {text.count(tied, 'other')}."
    elif len(ranked) > 1:
        detail += f" Next: {_brief(ranked[1][1])}, {show(_typical(ranked[1], shown))}."
    return Pick(kind=kind, title=title, row=index, value=show(_typical(ranked[0], shown)), detail=detail)


def _size(scored: list[Indexed], best: Indexed) -> Pick:
    return _pick("size", "Smallest artefact", scored, _size_of, lambda figure: text.size(int(figure)), best)


def _pick(
    kind: PickKind,
    title: str,
    rows: list[Indexed],
    cost: Callable[[Indexed], float],
    show: Callable[[float], str],
    best: Indexed,
) -> Pick:
    """The row with the lowest cost, with the runner-up and the price in accuracy."""
    ranked = sorted(rows, key=cost)
    index, row = ranked[0]
    detail = _price(row, best[1])
    equal = sum(cost(item) == cost(ranked[0]) for item in ranked) - 1
    if equal:
        detail += f" {text.count(equal, 'other')} the same."
    elif len(ranked) > 1:
        detail += f" Next: {_brief(ranked[1][1])}, {show(cost(ranked[1]))}."
    return Pick(kind=kind, title=title, row=index, value=show(cost(ranked[0])), detail=detail)


def _price(row: Row, best: Row) -> str:
    if row is best:
        return f"Accuracy {_accuracy_of(row)}, the best measured."
    if row.accuracy == best.accuracy:
        return f"Accuracy {_accuracy_of(row)}, equal to the best."
    below = f"{_accuracy_of(row)}, {text.points((best.accuracy or 0) - (row.accuracy or 0))} below the best"
    test = text.p_value(row.against_best.p_adjusted) if row.against_best else ""
    if same_accuracy(row, best):
        return f"Accuracy {below}; {test or 'intervals overlap'}, no difference shown."
    return f"Trade-off: accuracy {below}{f' ({test})' if test else ''}."


def _brief(row: Row) -> str:
    return f"{text.framework(row.framework)} {naming.served(row)} ({row.arm})"


def _shown_by(scored: Sequence[Indexed]) -> str:
    """How the lead over every other row was shown."""
    tested = [row.against_best.p_adjusted for _, row in scored if row.against_best]
    if not tested:
        return "intervals apart"
    largest = text.p_value(max(tested)).replace("=", "≤")
    return largest if len(tested) == len(scored) - 1 else f"{largest}, or intervals apart"


def _others(number: int) -> str:
    return "the other" if number == 1 else f"any of the {number} others"


def _size_of(item: Indexed) -> float:
    return item[1].size_bytes
