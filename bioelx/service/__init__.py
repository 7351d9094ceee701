"""The gRPC server: what is asked, read and checked; a batcher before one worker; the answers."""
