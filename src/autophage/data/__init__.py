"""Real data, one file per kind: laws without end, and finite sets split once into training and reference."""
