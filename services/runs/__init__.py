"""Long work as a resource: what the trainer and the evaluator service share."""
