"""Batched simulations of systems that are not a loop of fit and sample: one system per file."""
