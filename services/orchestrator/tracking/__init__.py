"""Experiment tracking: trainings in MLflow and as TensorBoard event files, every framework side by side.

The orchestrator writes, from what runs report and from their results: a framework's process loads no tracking library,
and there is no autologging that would record other things for each framework.
"""
