"""`python -m services.trainer --framework keras …`"""

from core import cpu, memory
from services.rpc import server, settings
from services.trainer.servicer import TrainerApplication
from services.trainer.settings import TrainerSettings

if __name__ == "__main__":
    cpu.share_cores()
    memory.keep_freed()
    loaded = settings.load(TrainerSettings, "python -m services.trainer")
    server.run(loaded, TrainerApplication(loaded), f"trainer-{loaded.framework}")
