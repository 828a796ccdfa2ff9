"""The tests: they mirror `proxy/`, and hold what they need to play the world around it."""
