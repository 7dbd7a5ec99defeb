"""What a measurement asks a server before it believes it."""

from core.errors import NotFoundError, UnsupportedError, WrongStateError
from services.client.inference import InferenceClient
from services.client.tensors import INPUT, OUTPUT, ModelMetadata, Tensor

NOT_TOLD = (NotFoundError, UnsupportedError)
"""How a server says that it does not tell; anything else, a server that is away for example, is a failure."""


def check_artifact(client: InferenceClient, model: str, version: int, digest: str) -> None:
    """Compares the files a server answers with against those that are to be measured.

    A server that does not tell, for example another product's, is taken at its word.

    Raises:
        WrongStateError: other files are served under the same name and version.
    """
    try:
        served = client.preprocess_spec(model, version).artifact
    except NOT_TOLD:
        return
    if served and served != digest:
        raise WrongStateError(
            f"{client.target} serves {model} version {version} from other files ({served[:12]}…) than were to be "
            f"measured ({digest[:12]}…); publish them again, or remove the old results"
        )


def check_tensors(metadata: ModelMetadata, label: str, shape: tuple[int, ...], classes: int) -> None:
    """Compares a served model's metadata with the data; a dimension the server leaves free (-1) fits any.

    Args:
        label: the model, for a message.
        shape: height, width and channels of the data's images.

    Raises:
        WrongStateError: other input shape, type or number of classes; says both.
    """
    given = find_tensor(metadata.inputs, INPUT, label, "UINT8", 4).shape[1:]
    if not _fits(given, shape):
        raise WrongStateError(f"model {label} takes images of {list(given)}, the data has {list(shape)}: not its data")
    served = find_tensor(metadata.outputs, OUTPUT, label, "FP32", 2).shape[1]
    if not _fits((served,), (classes,)):
        raise WrongStateError(f"model {label} tells {served} classes apart, the data has {classes}: not its data")


def find_tensor(tensors: tuple[Tensor, ...], name: str, model: str, datatype: str, dimensions: int) -> Tensor:
    """A tensor of the metadata. WrongStateError where it is absent, or of another type or rank."""
    tensor = next((tensor for tensor in tensors if tensor.name == name), None)
    if tensor is None or tensor.datatype != datatype or len(tensor.shape) != dimensions:
        found = ", ".join(f"{t.name} {t.datatype} {list(t.shape)}" for t in tensors) or "none"
        raise WrongStateError(
            f"model {model} has no {datatype} tensor {name!r} of {dimensions} dimensions (has: {found})"
        )
    return tensor


def _fits(served: tuple[int, ...], data: tuple[int, ...]) -> bool:
    """True where every dimension is equal or free."""
    return all(have in (-1, want) for have, want in zip(served, data, strict=True))
