"""The HTTP edge: a request becomes a target, a service answers it with a representation, which becomes a response.

The only room that knows statuses and headers of the answers. Reaches disk and network only through the services.
"""
