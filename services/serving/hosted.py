"""The serving service as Envoy's Python loads it: `services.serving.hosted:app`."""

from services.rpc import settings
from services.rpc.hosted import HostedService
from services.serving.application import ServingApplication
from services.serving.rights import RIGHTS
from services.serving.settings import ServingSettings


def _make(arguments: list[str]) -> tuple[ServingSettings, ServingApplication]:
    loaded = settings.load(ServingSettings, "python -m services.serving", arguments)
    return loaded, ServingApplication(loaded)


app = HostedService(_make, RIGHTS)
