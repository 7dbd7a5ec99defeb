"""The five run calls, the same for every service that has runs. It translates; RunManager thinks."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from services.runs.convert import NAMES, event_to_proto, run_to_proto
from services.runs.manager import RunManager

PAGE = 100


class RunServicer:
    """Mixin for a generated servicer.

    Args:
        messages: the generated module with CreateRunResponse and its siblings.
    """

    def __init__(self, manager: RunManager, messages: Any) -> None:
        self.manager = manager
        self._messages = messages

    async def CreateRun(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """See the contract."""
        run = await self.manager.create(request.id, request.spec_json)
        return self._messages.CreateRunResponse(run=run_to_proto(run))

    async def GetRun(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """See the contract."""
        return self._messages.GetRunResponse(run=run_to_proto(self.manager.get(request.id)))

    async def ListRuns(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """See the contract."""
        wanted = NAMES.get(request.state)
        runs = [run for run in self.manager.list() if wanted in (None, run.record.state)]
        page = runs[: request.page_size or PAGE]
        return self._messages.ListRunsResponse(runs=[run_to_proto(run, with_result=False) for run in page])

    async def WatchRun(self, request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:  # noqa: N802
        """See the contract."""
        async for number, event in self.manager.watch(request.id, request.after_event):
            yield self._messages.WatchRunResponse(event=event_to_proto(number, event))

    async def CancelRun(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """See the contract."""
        return self._messages.CancelRunResponse(run=run_to_proto(await self.manager.cancel(request.id)))
