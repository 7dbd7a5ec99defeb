"""What is compared: every way ours serves a network, and the peers."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from core.runtimes.openvino import import_openvino
from tools.bench.servers import Server, bakeoff, peer

TRANSPORTS = ("grpcio", "envoy")
OURS = {transport: f"Bakeoff, {transport}" for transport in TRANSPORTS}
"""Labels of ours with the peers' runtime and file, in calls of their own."""
INT8 = "-int8"
"""Ends the name of a quantised model."""
PEER_THREADS = {"mnist-cnn": 0, "cnn5": 2}
"""Threads a peer computes a network in: a light one is fastest in the event loop itself."""


@dataclass(frozen=True)
class Variant:
    """A runtime and a precision."""

    name: str
    runtime: str
    suffix: str = ""
    """Of the model's name."""
    tolerance: float = 1e-4
    """Largest difference from the network's probabilities in float32."""


PLAIN = Variant("", "onnxruntime")
LESS = 0.05
"""Eight bits, or bfloat16, in a network of initial weights, whose probabilities are all near 1 / classes."""
VARIANTS = (
    PLAIN,
    Variant("int8", "onnxruntime", INT8, LESS),
    Variant("OpenVINO", "openvino"),
    Variant("OpenVINO int8", "openvino", INT8, LESS),
    Variant("OpenVINO bf16", "openvino-bf16", "", LESS),
)


@dataclass(frozen=True)
class Row:
    """One line of the comparison."""

    label: str
    server: Server
    model: str
    tolerance: float
    streaming: bool = False
    """Requests of one caller share a ModelStreamInfer call."""
    plain: bool = True
    """Also measured with Poisson arrivals."""


def variants() -> tuple[Variant, ...]:
    """Those that this machine can compute."""
    bfloat16 = "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(one for one in VARIANTS if one.runtime != "openvino-bf16" or bfloat16)


def start(stack: contextlib.ExitStack, root: Path, network: str, peers: list[str]) -> list[Row]:
    """Starts a server for each row, two rows for those that are asked in streams too."""
    rows = []
    for transport in TRANSPORTS:
        for one in variants():
            model = network + one.suffix
            flags = ("--transport", transport, "--cache", str(cache(root, one.runtime)))
            only = ("--model-control", "explicit", "--load-model", model)
            server = stack.enter_context(bakeoff(root, root / "models", *flags, *only, runtime=one.runtime))
            label = OURS[transport] + (f", {one.name}" if one.name else "")
            rows.append(Row(label, server, model, one.tolerance, plain=one is PLAIN))
            if one is PLAIN:
                rows.append(Row(f"{label}, stream", server, model, one.tolerance, streaming=True, plain=False))
    for kind in peers:
        server = stack.enter_context(peer(kind, root, root / "models", network, PEER_THREADS[network]))
        rows.append(Row(kind, server, network, PLAIN.tolerance))
    return rows


def cache(root: Path, runtime: str) -> Path:
    """Where servers with a runtime find what was tuned for it."""
    return root / "cache" / runtime
