"""Words of captions: what networks that read and write them share."""
