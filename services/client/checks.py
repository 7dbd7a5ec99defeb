"""What a measurement asks a server before it believes it."""

from core.errors import BakeoffError, WrongStateError
from services.client.inference import InferenceClient


def check_artifact(client: InferenceClient, model: str, version: int, digest: str) -> None:
    """Compares the files a server answers with against those that are to be measured.

    A server that does not tell, for example another product's, is taken at its word.

    Raises:
        WrongStateError: other files are served under the same name and version.
    """
    try:
        served = client.preprocess_spec(model, version).artifact
    except BakeoffError:
        return
    if served and served != digest:
        raise WrongStateError(
            f"{client.target} serves {model} version {version} from other files ({served[:12]}…) than were to be "
            f"measured ({digest[:12]}…); publish them again, or remove the old results"
        )
