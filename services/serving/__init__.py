"""The serving service: models of a repository over the Open Inference Protocol.

From the wire inwards: `servicer` (transport) → `messages`, `tensors` (translation) → `handler` (checks a request and
shapes the answer) → `batcher` → the runtime's predictor. `control` decides what `models` has loaded.
"""
