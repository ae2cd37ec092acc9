"""Subjects in the record: the index that the projector fills, and erasing somebody from everywhere."""
