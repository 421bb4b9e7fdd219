"""What fits and samples: one file per family.

Families with a closed-form fit (`SufficientLearner`) run a block of replicates as one array program, and
those whose refitted statistics have a known law draw these instead of records.
"""
