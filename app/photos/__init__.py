"""Labelled photos: where they lie, what is wrong with them. No torch; the web and training both look here."""
