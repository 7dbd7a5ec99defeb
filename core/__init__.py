"""What every part of Bakeoff shares. It knows no other part, no gRPC and, outside core/runtimes, no framework."""
