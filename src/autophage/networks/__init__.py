"""Networks that learn images and vectors, one kind per file, and their checkpoints.

A network takes x (n, c, h, w) or (n, d), a conditioning number per record and, where it knows classes, a label per
record; what its output means is the learner's business. `unet` and `dit` are those of diffusers, the others our own.
"""
