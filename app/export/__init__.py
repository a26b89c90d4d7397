"""A mode as files for other programs: written, checked against the served mode, and shown in use."""
