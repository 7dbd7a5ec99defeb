"""Records and events to protobuf."""

from typing import Any

import grpc
from bakeoff.run.v1 import run_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.rpc.errors import RUN_CODES
from services.runs.record import Record, RunRecord, count_events

STATES = {
    "queued": run_pb2.RUN_STATE_QUEUED,
    "running": run_pb2.RUN_STATE_RUNNING,
    "succeeded": run_pb2.RUN_STATE_SUCCEEDED,
    "failed": run_pb2.RUN_STATE_FAILED,
    "cancelled": run_pb2.RUN_STATE_CANCELLED,
}
NAMES = {number: name for name, number in STATES.items()}


def run_to_proto(run: RunRecord, with_result: bool = True) -> run_pb2.Run:
    """The run as a message."""
    record = run.record
    return run_pb2.Run(
        id=record.id,
        kind=record.kind,
        spec_json=run.spec_json(),
        state=STATES[record.state],
        attempts=record.attempts,
        error=record.error,
        error_code=error_code(record),
        result_json=run.result_json() if with_result else "",
        last_event=count_events(run.folder),
        create_time=timestamp(record.create_time),
        start_time=timestamp(record.start_time) if record.start_time else None,
        end_time=timestamp(record.end_time) if record.end_time else None,
    )


def error_code(record: Record) -> int:
    """Number of the code of a failure; 0 without one, or where none is known."""
    if record.state != "failed" or record.error_kind is None:
        return 0
    unknown = grpc.StatusCode.UNKNOWN if record.error_kind else grpc.StatusCode.INTERNAL
    number: int = RUN_CODES.get(record.error_kind, unknown).value[0]
    return number


def event_to_proto(number: int, event: dict[str, Any]) -> run_pb2.RunEvent:
    """One line of events.jsonl as a message."""
    message = run_pb2.RunEvent(number=number, time=timestamp(event["time"]))
    if change := event.get("state_change"):
        message.state_change.state = STATES[change["state"]]
        message.state_change.message = change["message"]
    if progress := event.get("progress"):
        message.progress.CopyFrom(run_pb2.Progress(**progress))
    if line := event.get("log"):
        message.log.CopyFrom(run_pb2.LogLine(**line))
    return message


def timestamp(seconds: float) -> Timestamp:
    """Seconds since 1970 as a Timestamp."""
    return Timestamp(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
