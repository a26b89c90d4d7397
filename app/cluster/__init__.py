"""Beyond one machine: the same networks on a Ray cluster. Nothing here is imported unless it is asked for."""
