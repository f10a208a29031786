"""What a run reports about itself: counters, latency, logs, Prometheus."""
