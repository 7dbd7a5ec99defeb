"""What the handler takes and gives: NumPy arrays and plain values, no transport.

What is made for every request is not frozen: a frozen dataclass takes three times as long to make.
"""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(slots=True)
class Tensor:
    """A named array; `datatype` is the protocol's name of its element type."""

    name: str
    datatype: str
    array: NDArray[Any]


@dataclass(frozen=True, slots=True)
class OutputRequest:
    """One output somebody wants."""

    name: str
    classification: int = 0
    """The k best classes as text instead of the array; 0 for the array."""


@dataclass(slots=True)
class InferRequest:
    """One inference request."""

    model: str
    version: str
    """Empty for the version that answers by default."""
    id: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[OutputRequest, ...]
    """Empty for all outputs."""
    arrived_ns: int
    """time.monotonic_ns when the request came in, before it was parsed."""
    deadline_ns: int | None = None
    """time.monotonic_ns after which nobody waits for the answer."""
    timeout_us: int = 0
    """Longest wait for a batch in microseconds, as the request asks for it; 0: it asks for none."""
    typed: bool = False
    """The data came as typed elements, so the answer goes back as such."""


@dataclass(slots=True)
class Timing:
    """Where the server spent a request's time."""

    queue_ns: int
    """Waiting for a batch."""
    preprocess_ns: int
    """Parsing, checking and joining into the batch."""
    infer_ns: int
    """The runtime, for the whole batch."""
    postprocess_ns: int
    """From the end of the runtime until the answer was ready."""
    batch_size: int
    """Images in the (largest) batch the request was part of."""


@dataclass(slots=True)
class InferResult:
    """The answer to one request."""

    model: str
    version: int
    id: str
    outputs: tuple[Tensor, ...]
    timing: Timing
    typed: bool
