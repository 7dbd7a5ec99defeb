"""The evaluator service: scores served models as a client of the serving layer, and writes reports."""
