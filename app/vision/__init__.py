"""A picture, a network, the names of things: no Flask, no threads, no state."""
