"""Reward alignment: a generator that learns by policy gradient from its own samples and what they are rewarded with.

Notation: a walk of T steps from noise to a record; step i draws x' = m(x, p) + sigma z around a mean that is affine
in what the network predicts, p, noise (diffusion) or velocity (flows). D is a change of p and moves the mean by -C D;
w = C / sigma. (Black et al. 2024; Liu et al. 2025; Xue et al. 2025; Lee and Ye 2026.)
"""
