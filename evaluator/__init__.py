"""Scores, compares and reports. Knows `predict(images) -> probabilities`; no framework, no runtime, no gRPC."""
