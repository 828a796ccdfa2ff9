"""pullthrough: a pull-through caching proxy for pip and apt."""
