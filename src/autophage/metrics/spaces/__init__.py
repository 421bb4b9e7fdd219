"""Feature spaces of pictures, one a file: a network trained on the labelled real data, Inception-v3 in the convention of
the FID, and any vision model of `transformers`. Each is imported when a metric asks for it."""
