"""`python -m services.serving --runtime onnxruntime --repository …`"""

from services.rpc import settings
from services.serving.settings import ServingSettings


def main() -> None:
    """Serves over the transport that the settings name."""
    loaded = settings.load(ServingSettings, "python -m services.serving")
    name = f"serving-{loaded.runtime}"
    if loaded.transport == "envoy":
        from services.rpc import envoy
        from services.serving.rights import INFER

        advice = f"{loaded.max_in_flight} calls are being answered (--max-in-flight); try again later"
        limit = envoy.InFlight(INFER, loaded.max_in_flight, advice)
        envoy.run(loaded, "services.serving.hosted:app", name, limit)
        return
    from services.rpc import server
    from services.serving.application import ServingApplication
    from services.serving.rights import RIGHTS

    server.run(loaded, ServingApplication(loaded), name, RIGHTS)


if __name__ == "__main__":
    main()
