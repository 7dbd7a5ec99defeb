"""`python -m services.serving --runtime onnxruntime --repository …`"""

from services.rpc import settings
from services.serving.settings import ServingSettings


def main() -> None:
    """Serves over the transport that the settings name."""
    loaded = settings.load(ServingSettings, "python -m services.serving")
    name = f"serving-{loaded.runtime}"
    if loaded.transport == "envoy":
        from services.rpc import envoy

        envoy.run(loaded, "services.serving.hosted:app", name)
        return
    from services.rpc import server
    from services.serving.application import ServingApplication

    server.run(loaded, ServingApplication(loaded), name)


if __name__ == "__main__":
    main()
