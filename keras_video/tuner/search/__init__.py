"""Search by training whole networks: oracles, constraints, tuners."""
