"""What is wrong with a stream of RF frames: from frames and counters to findings, without sockets."""
