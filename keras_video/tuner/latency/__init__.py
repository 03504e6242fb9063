"""Measured latency: one network, tables of layers, and a predictor."""
