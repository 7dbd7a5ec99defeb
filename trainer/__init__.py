"""Preparation, architectures, recipes, training and export. Knows no gRPC and no evaluator."""
