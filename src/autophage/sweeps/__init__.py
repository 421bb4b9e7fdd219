"""Sweeps: one spec over a grid of its numbers, and the phase diagrams that come out."""
