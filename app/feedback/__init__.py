"""The database: predictions counted, corrections, the review queue."""
