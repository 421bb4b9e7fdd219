"""Training of deep learners: a budget of records seen, warm-up, averaged weights, micro-batches, precision, devices."""
