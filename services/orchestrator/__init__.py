"""Plans an experiment and drives it to its end through the services. It computes nothing itself."""
