"""The benchmark's results as text, as a page and as a chart."""

import json
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from tools.bench.rows import OURS

Run = dict[str, Any]
COLUMNS = {"cpu_ms": (3, "CPU ms/inference"), "throughput": (0, "inferences/s"), "p50_ms": (1, "p50 ms"),
           "p99_ms": (1, "p99 ms"), "batch": (1, "batch")}  # fmt: skip
COLORS = {"envoy": "#1b6ca8", "grpcio": "#0f9d76", "": "#8d8d8d"}
"""By what is in a row's label."""
AGAINST = """## Against the peers
The same onnxruntime session and file; ours of a run over the peer's of the same run.

"""
GENERATED = "Written by `make bench-serving ARGS='--write docs'`: change the program, not this page."


def middle(one: Run, column: str) -> float:
    """Median over the runs."""
    return float(median(run[column] for run in one["runs"]))


def spread(values: list[float], digits: int) -> str:
    """Median, and smallest to largest."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def closed_table(results: Run) -> str:
    """CPU, throughput and latency of every model, concurrency and server."""
    titles = ["model", "in flight", "server", *(title for _, title in COLUMNS.values()), "differs by"]
    rows = [titles, ["---"] * len(titles)]
    for one in results["closed"]:
        cells = [spread([run[name] for run in one["runs"]], digits) for name, (digits, _) in COLUMNS.items()]
        difference = f"{results['differences'][one['model'] + ' ' + one['server']]:.0e}"
        rows.append([one["model"], str(one["concurrency"]), one["server"], *cells, difference])
    return _table(rows)


def against_table(results: Run) -> str:
    """Ours over a peer's, same runtime and file, run by run."""
    rows = [["model", "in flight", "server", "peer", "CPU, of the peer's", "inferences/s, of the peer's"], ["---"] * 6]
    closed = {(one["model"], one["concurrency"], one["server"]): one["runs"] for one in results["closed"]}
    for (model, concurrency, server), runs in closed.items():
        for peer in results["options"]["peers"] if server in OURS.values() else ():
            pairs = list(zip(runs, closed[model, concurrency, peer], strict=True))
            cells = [
                spread([ours[name] / theirs[name] for ours, theirs in pairs], 2) for name in ("cpu_ms", "throughput")
            ]
            rows.append([model, str(concurrency), server, peer, *cells])
    return _table(rows)


def open_table(results: Run) -> str:
    """Latency at a share of each server's own highest rate, against a single caller's."""
    rows = [["model", "server", "rate/s", "runs", "p99 alone ms", "p99 Poisson ms", "ratio"], ["---"] * 7]
    for one in results["open_loop"]:
        alone, loaded = ([run[name] for run in one["runs"]] for name in ("alone_ms", "poisson_ms"))
        ratios = [b / a for a, b in zip(alone, loaded, strict=True)]
        cells = [spread(values, 1) for values in (alone, loaded, ratios)] if ratios else ["–", "–", "–"]
        rows.append([one["model"], one["server"], f"{one['rate']:,.0f}", str(len(ratios)), *cells])
    return _table(rows)


def goodput_table(results: Run) -> str:
    """What is answered of what is asked."""
    rates = ["asked/s", "sent/s", "answered/s", "of the highest", "of the answers at 1 ×"]
    titles = ["model", "transport", *rates, "p50 ms", "p99 ms", "codes"]
    rows = [titles, ["---"] * len(titles)]
    for one in results["goodput"]:
        once = [run["answered_per_s"] for run in one["runs"] if run["times"] == 1]
        for times in sorted({run["times"] for run in one["runs"]}):
            runs = [run for run in one["runs"] if run["times"] == times]
            counted = sum((Counter(run["codes"]) for run in runs), Counter())
            codes = ", ".join(f"{code} {count:,}" for code, count in sorted(counted.items()))
            shares = [100 * run["answered_per_s"] / one["highest"] for run in runs]
            kept = [100 * run["answered_per_s"] / before for run, before in zip(runs, once, strict=True)]
            cells = [f"{runs[0]['asked_per_s']:,.0f}"]
            cells += [spread([run[name] for run in runs], 0) for name in ("sent_per_s", "answered_per_s")]
            cells += [f"{spread(values, 0)} %" for values in (shares, kept)]
            cells += [spread([run[name] for run in runs], 0) for name in ("p50_ms", "p99_ms")]
            rows.append([one["model"], one["transport"], *cells, codes])
    return _table(rows)


def memory_table(results: Run) -> str:
    """Memory by program after the closed loops, and with ten models."""
    rows = [["what", "server", "memory MB", "ready s"], ["---"] * 4]
    for model, servers in results["memory_mb"].items():
        rows += [[f"{model}, after load", label, _memory(sizes), ""] for label, sizes in servers.items()]
    for one in results["ten_models"]:
        rows.append(
            ["ten tuned mnist-cnn", f"Bakeoff, {one['transport']}", _memory(one["memory_mb"]), f"{one['ready_s']:.2f}"]
        )
    return _table(rows)


def text(results: Run) -> str:
    """All tables."""
    parts = [
        closed_table(results),
        against_table(results),
        open_table(results),
        goodput_table(results),
        memory_table(results),
    ]
    return "\n\n".join(part for part in parts if part.count("\n") > 1)


def write(results: Run, folder: Path) -> None:
    """Writes serving-benchmark.md, .svg and .json."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "serving-benchmark.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "images/serving-benchmark.svg").write_text(chart(results))
    (folder / "serving-benchmark.md").write_text(page(results))


def page(results: Run) -> str:
    """The page."""
    machine, options = results["environment"], results["options"]
    load = " to ".join(f"{value:.1f}" for value in results["load_average"])
    tuned = "; ".join(_tuned(runtime, found) for runtime, found in results["tuned"].items())
    peers = ", ".join(requirement for requirements in options["peers"].values() for requirement in requirements[:1])
    against = f"{AGAINST}{against_table(results)}\n\n" if options["peers"] else ""
    return f"""# What one inference costs

{GENERATED}

![CPU per inference by server](images/serving-benchmark.svg)

Same ONNX files (initial weights; fp32, or int8 made from them), same client: NVIDIA's perf_analyzer, one image per
request, on the same {machine["cpu_quota"]:g} cores of {machine["cpu_model"]}. "Stream": a caller's requests go over one
ModelStreamInfer call.
{options["runs"]} interleaved runs of {options["seconds"]:g} s each: median (smallest–largest).
CPU is that of all processes of a server.

Load average of the machine from start to end: {load}. What exceeds about 3 is other work than this, which lowers every
throughput and raises every latency here; CPU per inference suffers least.

Ours as tuned: {tuned}. The peers ({peers}) run the same onnxruntime session in one process, mnist-cnn in the
event loop, cnn5 in two threads, without adaptive batching. "Differs by" is the largest difference of a server's
probabilities from those of the fp32 file's golden cases, asked in the same run.

{closed_table(results)}

{against}## Latency at {0.6:.0%} of each server's highest rate
Poisson arrivals, against one caller alone just before. Runs in which perf_analyzer obtained no stable measurement are
left out.

{open_table(results)}

## Twice the highest rate
At most 64 calls let in (Envoy, `--max-in-flight 64`) or queued (grpcio, `--max-queue 64`). The server has one half of
the cores and who sends has the other, so that what is refused costs the server alone; the highest rate is
perf_analyzer's with 16 requests in flight on these halves. The generator here is Python: "sent" says how much of the
rate it managed. "Answered" is what was while it sent, the codes are of all runs. This generator asks at
random times, so of a heavy network fewer are answered at the highest rate (1 ×) already; and 64 that are let in make
larger batches than 16. The last share is what overload alone costs, run by run. Latency counts from the moment a
request was due, the generator's own lateness included.

{goodput_table(results)}

## Memory and start
Proportional set size by program, MB of 2^20 bytes.

{memory_table(results)}
"""


def _tuned(runtime: str, found: list[Run]) -> str:
    """The choices for one runtime; copies of a network have the same."""
    choices = [
        f"{one['model']} {one['choice']['instances']} × {one['choice']['threads']} threads, batches up to "
        f"{one['choice']['max_batch']}"
        for one in found
    ]
    return f"{runtime}: {', '.join(choices)}"


def chart(results: Run) -> str:
    """Bars of CPU per inference, one group for each model and concurrency, each scaled to its largest."""
    groups: dict[str, list[Run]] = {}
    for one in results["closed"]:
        groups.setdefault(f"{one['model']}, {one['concurrency']} in flight", []).append(one)
    parts, top = [], 34
    for title, group in groups.items():
        parts.append(f'<text x="12" y="{top}" font-weight="600">{title}</text>')
        largest = max(middle(one, "cpu_ms") for one in group)
        for one in group:
            top += 22
            value = middle(one, "cpu_ms")
            width = 330 * value / largest
            color = next(color for name, color in COLORS.items() if name in one["server"])
            parts.append(f'<text x="12" y="{top}">{one["server"]}</text>')
            parts.append(f'<rect x="240" y="{top - 12}" width="{width:.0f}" height="15" fill="{color}"/>')
            parts.append(f'<text x="{246 + width:.0f}" y="{top}">{value:.3f} ms</text>')
        top += 34
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="660" height="{top}" font-family="sans-serif" font-size="13">'
    )
    title = '<text x="12" y="14" font-weight="600">Server CPU per inference: shorter is better</text>'
    background = f'<rect width="660" height="{top}" fill="white"/>'
    return "\n".join([head, background, title, *parts, "</svg>"]) + "\n"


def _memory(sizes: dict[str, float]) -> str:
    total = sum(sizes.values())
    if len(sizes) == 1:
        return f"{total:.0f}"
    return f"{total:.0f} ({', '.join(f'{name} {size:.0f}' for name, size in sorted(sizes.items()))})"


def _table(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
