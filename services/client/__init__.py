"""The public clients: control plane (runs) and data plane (inference)."""
