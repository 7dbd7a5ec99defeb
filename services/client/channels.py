"""What the two inference clients share: channel options, which calls may be repeated, and what a failed call means."""

import json
from collections.abc import Sequence

import grpc

from core.errors import BakeoffError, DeadlineError
from services.rpc.errors import from_rpc

SERVICE = "inference.GRPCInferenceService"
MAX_MESSAGE_BYTES = 64 << 20
"""gRPC's own limit is 4 MiB, less than a batch of photographs."""
MAX_ATTEMPTS = 5
"""gRPC never tries more often."""
IDEMPOTENT = ("ModelInfer", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex", "ServerMetadata")
"""Repeating these changes nothing. The readiness probes are left out: their answer is for now."""

RETRYABLE = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED")
"""The last is how gRPC resets calls that reach a server after it began to shut down; what a caller cancels itself is
never repeated."""

SILENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
"""Codes that answer a probe with no: nobody there, or nobody who speaks."""

Options = Sequence[tuple[str, int | str]]


def channel_options(max_message_bytes: int, attempts: int, extra: Options) -> list[tuple[str, int | str]]:
    """Message limits, retries (backoff of 0.1 s doubling to 1 s, with jitter) and the caller's own options."""
    options: list[tuple[str, int | str]] = [
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.service_config", service_config(attempts)),
        ("grpc.enable_retries", int(attempts > 1)),
    ]
    return [*options, *extra]


def service_config(attempts: int) -> str:
    """gRPC's service config: calls go round all addresses of the name, and which are tried again on which codes."""
    balancing: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if attempts < 2:
        return json.dumps(balancing)
    policy = {
        "maxAttempts": min(attempts, MAX_ATTEMPTS),
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": list(RETRYABLE),
    }
    names = [{"service": SERVICE, "method": method} for method in IDEMPOTENT]
    return json.dumps({**balancing, "methodConfig": [{"name": names, "retryPolicy": policy}]})


def domain_error(error: grpc.RpcError, target: str, timeout_s: float, action: str = "answer") -> BakeoffError:
    """The domain error behind a failed call; a deadline that passed here says where, how long, and of what."""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineError(f"{target} did not {action} within {timeout_s:g} s: {error.details()}")
    return from_rpc(error, target)
