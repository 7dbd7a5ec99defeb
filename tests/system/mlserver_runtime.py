"""An ONNX model behind MLServer. Imported by an MLServer process, in an environment that lacks our code."""

import time

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class OnnxModel(MLModel):
    """`parameters.uri` is the file; `parameters.extra.delay_s` slows each request down."""

    async def load(self) -> bool:
        """Opens the file."""
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri)
        return True

    async def predict(self, payload):
        """One request, one run of the graph."""
        time.sleep(self.settings.parameters.extra["delay_s"])
        images = NumpyCodec.decode_input(payload.inputs[0])
        (answer,) = self.session.run(None, {"image": images})
        output = NumpyCodec.encode_output("probabilities", answer)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
