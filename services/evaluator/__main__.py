"""`python -m services.evaluator …`"""

from services.evaluator.servicer import EvaluatorApplication
from services.evaluator.settings import EvaluatorSettings
from services.rpc import server, settings

if __name__ == "__main__":
    loaded = settings.load(EvaluatorSettings, "python -m services.evaluator")
    server.run(loaded, EvaluatorApplication(loaded), "evaluator")
