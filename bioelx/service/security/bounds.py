"""What one peer may take of the server before anybody has asked who it is.

Sizes of messages are a setting (max_message_bytes), and what a known caller may ask is its quota.
"""

CONNECTIONS, HEALTH_CONNECTIONS, METRICS_CONNECTIONS = 800, 64, 16
"""Together less than the 1024 file descriptors that a process often has."""
METRICS_SECONDS = 10.0
"""For one answer to Prometheus, which itself waits no longer unless it is told to."""


def connection_bounds(connections: int) -> tuple[tuple[str, int], ...]:
    """Options of a gRPC server's port that takes so many connections at a time."""
    return (
        # Of all peers together; each takes a file descriptor.
        ("grpc.max_allowed_incoming_connections", connections),
        # A connection that says nothing, or that does not get its TLS done, is closed.
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.max_connection_idle_ms", 15 * 60_000),
        # Calls in flight on one connection. Clients hold further ones back, so that a lower bound
        # would hide an overload from them.
        ("grpc.max_concurrent_streams", 1024),
        # A token and a trace take some hundred bytes; past the second bound all calls are refused.
        ("grpc.max_metadata_size", 8 * 1024),
        ("grpc.absolute_max_metadata_size", 16 * 1024),
        # Peers that have vanished are noticed, and their calls cancelled.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Clients behind a firewall that forgets silent connections may ping, but not all the time.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_ping_strikes", 2),
        # Clients are sent to a new connection from time to time, whose certificates are checked
        # anew. Calls under way end on the old one, however long they take.
        ("grpc.max_connection_age_ms", 60 * 60_000),
    )
