"""One ONNX model in KServe's Python server: `python kserve_server.py MODEL FILE CONFIG PORT WORKERS SHAPE CLASSES`."""

import sys
from pathlib import Path

from answers import Answers
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from sessions import Predictor


class OnnxModel(Model):
    """A model as KServe's documentation writes one."""

    def __init__(self, name: str, path: str, workers: int, shape: list[int], classes: int, answers: Answers) -> None:
        super().__init__(name)
        self._predict, self._answers = Predictor(path, workers), answers
        self._inputs = [{"name": "image", "datatype": "UINT8", "shape": [-1, *shape]}]
        self._outputs = [{"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]}]
        self.ready = True

    async def get_input_types(self) -> list[dict]:
        return self._inputs

    async def get_output_types(self) -> list[dict]:
        return self._outputs

    async def predict(self, payload: InferRequest, headers: dict | None = None, response_headers: dict | None = None):
        images = payload.inputs[0].as_numpy()
        probabilities = await self._predict(images)
        self._answers.images += len(images)
        output = InferOutput(name="probabilities", shape=list(probabilities.shape), datatype="FP32")
        output.set_data_from_numpy(probabilities, binary_data=True)
        return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=[output])


if __name__ == "__main__":
    name, path, config, port, workers, shape, classes = sys.argv[1:]
    answers = Answers(name, Path(config))
    answers.install()
    model = OnnxModel(name, path, int(workers), [int(size) for size in shape.split("x")], int(classes), answers)
    # Its own command line is not ours.
    sys.argv = sys.argv[:1]
    ModelServer(http_port=0, grpc_port=int(port), workers=1, enable_docs_url=False).start([model])
