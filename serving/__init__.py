"""The gRPC skin: wire message -> Query -> Engine -> wire message. Knows nothing of training."""
