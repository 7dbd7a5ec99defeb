"""bakeoff.evaluator.v1: accepts runs and starts their workers."""

from collections.abc import Sequence
from pathlib import Path

import grpc
from bakeoff.evaluator.v1 import evaluator_service_pb2 as pb
from bakeoff.evaluator.v1 import evaluator_service_pb2_grpc as pb_grpc

from core import environment
from core.errors import WrongStateError
from core.prepared import open_prepared
from core.schemas.names import RUNTIMES
from core.schemas.specs import Scoring, parse_evaluator_spec
from core.store import Store
from services.evaluator.settings import EvaluatorSettings
from services.runs import executor
from services.runs.manager import RunManager, Work
from services.runs.servicer import RunServicer

KINDS = ("evaluate", "evaluate-served", "report")
WORKER = "services.evaluator.worker"


class EvaluatorServicer(RunServicer, pb_grpc.EvaluatorServiceServicer):
    """Runs and capabilities."""

    def __init__(self, manager: RunManager, settings: EvaluatorSettings) -> None:
        super().__init__(manager, pb)
        self._settings = settings

    async def GetCapabilities(  # noqa: N802
        self, request: pb.GetCapabilitiesRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetCapabilitiesResponse:
        """See the contract."""
        slots = self._settings.slots
        return pb.GetCapabilitiesResponse(kinds=KINDS, versions=environment.versions(), slots=slots)


class EvaluatorApplication:
    """The evaluator service as the server runs it."""

    def __init__(self, settings: EvaluatorSettings) -> None:
        self._settings = settings
        self._store = Store(settings.store, settings.cache)
        work = Work(self._accept, self._command, lambda run_id: self._store.has("results", run_id), self._store.sweep)
        self._manager = RunManager(
            settings.runs, work, executor.choose((WORKER,), settings.warm_workers), settings.slots
        )

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Adds the servicer."""
        pb_grpc.add_EvaluatorServiceServicer_to_server(EvaluatorServicer(self._manager, self._settings), server)
        return [pb.DESCRIPTOR.services_by_name["EvaluatorService"].full_name]

    async def start(self) -> None:
        """Resumes what was not finished."""
        await self._manager.start()

    async def drain(self) -> None:
        """Nothing: watchers get the server's grace."""

    async def stop(self) -> None:
        """Ends the workers; their runs resume with the next start."""
        await self._manager.stop()

    def _accept(self, spec_json: str) -> tuple[str, str]:
        spec = parse_evaluator_spec(spec_json)
        if isinstance(spec, Scoring):
            open_prepared(self._store, spec.data)
        else:
            absent = [result for result in (*spec.results, *spec.other_split) if not self._store.has("results", result)]
            if absent:
                raise WrongStateError(
                    f"results {', '.join(absent)} are not in {self._store.url}; run their steps first"
                )
        return spec.kind, spec.model_dump_json()

    def _command(self, folder: Path, kind: str) -> Sequence[str]:
        settings = self._settings
        targets = [f"--serving-{name}={settings.serving(name)}" for name in RUNTIMES]
        shared = ["--store", settings.store, "--cache", str(settings.cache), "--threads", str(settings.threads)]
        shared += ["--in-flight", str(settings.in_flight)]
        return [WORKER, str(folder.absolute()), *shared, *targets]
