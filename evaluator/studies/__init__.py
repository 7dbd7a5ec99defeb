"""The published studies held against this project's results: `docs/studies.md`, generated and never typed."""
