"""`models/` on disk: what lies there, what it says of itself, and writing it so that nothing half-written is seen."""
