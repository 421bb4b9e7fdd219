"""Diffusion processes, their samplers and guidance: own, small, and each checked against a closed form."""
