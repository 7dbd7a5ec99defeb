"""What every server shares: settings, errors to status codes, life cycle with health, reflection, metrics and drain."""
