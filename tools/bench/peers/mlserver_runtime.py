"""An ONNX model for MLServer, as its documentation writes a custom runtime."""

from answers import Answers
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from sessions import Predictor

ANSWERS: list[Answers] = []
"""What counts the images; set by the process that starts the server."""


class OnnxModel(MLModel):
    """Probabilities of images."""

    async def load(self) -> bool:
        extra = self.settings.parameters.extra
        self._predict = Predictor(self.settings.parameters.uri, extra["workers"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        images = NumpyCodec.decode_input(payload.inputs[0])
        probabilities = await self._predict(images)
        for answers in ANSWERS:
            answers.images += len(images)
        outputs = [NumpyCodec.encode_output("probabilities", probabilities)]
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=outputs)
