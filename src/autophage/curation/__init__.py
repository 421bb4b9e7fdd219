"""What happens to synthetic samples before they enter a training set: one method per file."""
