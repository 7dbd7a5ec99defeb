"""bakeoff.trainer.v1: translates between protobuf and the domain."""

import asyncio
from collections.abc import Sequence

import grpc
from bakeoff.trainer.v1 import trainer_service_pb2 as pb
from bakeoff.trainer.v1 import trainer_service_pb2_grpc as pb_grpc
from pydantic import ValidationError

from core import environment
from core.errors import InvalidInputError
from core.formats import EXPORTS
from core.schemas.base import explain
from core.schemas.data import SOURCE
from services.runs import executor
from services.runs.manager import RunManager, Work
from services.runs.servicer import RunServicer
from services.trainer.settings import TrainerSettings
from services.trainer.work import WORKER, TrainerWork
from trainer import preparation
from trainer.architectures import get_architecture, listing
from trainer.device import require_cuda
from trainer.framework import MODULES
from trainer.layers import describe


class TrainerServicer(RunServicer, pb_grpc.TrainerServiceServicer):
    """Runs, capabilities, architectures and sources."""

    def __init__(self, manager: RunManager, settings: TrainerSettings, work: TrainerWork) -> None:
        super().__init__(manager, pb)
        self._settings, self._work = settings, work

    async def CheckRun(self, request: pb.CheckRunRequest, context: grpc.aio.ServicerContext) -> pb.CheckRunResponse:  # noqa: N802
        """See the contract."""
        # Looking at data and weights takes a while, as when a run is created.
        await asyncio.to_thread(self._work.accept, request.spec_json)
        return pb.CheckRunResponse()

    async def GetCapabilities(  # noqa: N802
        self, request: pb.GetCapabilitiesRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetCapabilitiesResponse:
        """See the contract."""
        return pb.GetCapabilitiesResponse(
            framework=self._settings.framework,
            formats=EXPORTS[self._settings.framework],
            versions=environment.versions(),
            threads=self._settings.threads,
            slots=self._settings.slots,
        )

    async def ListArchitectures(  # noqa: N802
        self, request: pb.ListArchitecturesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListArchitecturesResponse:
        """See the contract."""
        rows = [pb.ArchitectureSummary(name=name, description=description) for name, description in listing().items()]
        return pb.ListArchitecturesResponse(architectures=rows)

    async def DescribeArchitecture(  # noqa: N802
        self, request: pb.DescribeArchitectureRequest, context: grpc.aio.ServicerContext
    ) -> pb.DescribeArchitectureResponse:
        """See the contract."""
        shape = tuple(request.input_shape)
        if shape and (len(shape) != 3 or min(shape) < 1):
            raise InvalidInputError(f"input_shape {shape} is not valid: expected height, width and channels")
        found = get_architecture(request.name, shape if len(shape) == 3 else None, request.classes or None)
        rows = [
            pb.LayerRow(
                path=node.path,
                type=describe(node.layer),
                output_shape=node.output_shape,
                parameters=sum(p.size for p in node.parameters.values()),
                depth=depth,
            )
            for depth, node in found.walk()
        ]
        return pb.DescribeArchitectureResponse(
            name=found.name,
            description=found.description,
            input_shape=found.input_shape,
            classes=found.classes,
            layers=rows,
            trainable_parameters=found.count(trainable=True),
            frozen_parameters=found.count(trainable=False),
        )

    async def InspectSource(  # noqa: N802
        self, request: pb.InspectSourceRequest, context: grpc.aio.ServicerContext
    ) -> pb.InspectSourceResponse:
        """See the contract."""
        try:
            source = SOURCE.validate_json(request.source_json)
        except ValidationError as error:
            raise InvalidInputError(f"source is not valid: {explain(error)}") from error
        # Listing a large folder takes seconds; other calls go on meanwhile.
        found = await asyncio.to_thread(preparation.inspect, source)
        return pb.InspectSourceResponse(digest=found.digest, classes=found.classes, images=found.images)


class TrainerApplication:
    """The trainer service as the server runs it."""

    def __init__(self, settings: TrainerSettings) -> None:
        self._settings = settings
        self._work = work = TrainerWork(settings)
        self._manager = RunManager(
            settings.runs,
            Work(work.accept, work.command, work.done, work.clean),
            executor.choose((WORKER, MODULES[settings.framework]), settings.warm_workers),
            settings.slots,
        )

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Adds the servicer."""
        servicer = TrainerServicer(self._manager, self._settings, self._work)
        pb_grpc.add_TrainerServiceServicer_to_server(servicer, server)
        return [pb.DESCRIPTOR.services_by_name["TrainerService"].full_name]

    async def start(self) -> None:
        """Resumes what was not finished. Raises WrongStateError where the GPU that was asked for is not there."""
        if self._settings.device == "cuda":
            await asyncio.to_thread(require_cuda, self._settings.framework)
        await self._manager.start()

    async def drain(self) -> None:
        """Nothing: watchers get the server's grace."""

    async def stop(self) -> None:
        """Ends the workers; their runs resume with the next start."""
        await self._manager.stop()
