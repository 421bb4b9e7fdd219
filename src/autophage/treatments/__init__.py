"""What happens to a model between fit and sample: one method per file."""
