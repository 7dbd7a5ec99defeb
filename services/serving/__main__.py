"""`python -m services.serving --runtime onnxruntime --repository …`"""

from services.rpc import server, settings
from services.serving.application import ServingApplication
from services.serving.rights import RIGHTS
from services.serving.settings import ServingSettings

if __name__ == "__main__":
    loaded = settings.load(ServingSettings, "python -m services.serving")
    server.run(loaded, ServingApplication(loaded), f"serving-{loaded.runtime}", RIGHTS)
