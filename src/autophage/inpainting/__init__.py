"""Recursive inpainting: one square of a picture after the other is blanked and filled in again, without any training.

    x_{t+1} = fill(x_t, square_t)          square_t uniform on a fixed grid of G squares, each picture its own

(Conde et al. 2024, who ask how far a picture drifts from its original.) `squares` is the grid, `inpainter` what fills, one file
for each way to fill, `drift` what is measured, `process` the whole.
"""
