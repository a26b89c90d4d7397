"""Teach: from labelled photos to a version of a mode. Nothing that serves imports this room."""
