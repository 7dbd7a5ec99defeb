"""Everything that speaks gRPC, and its clients."""
