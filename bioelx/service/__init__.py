"""The gRPC server: what is asked, read and checked; stages that link it; the answers."""
