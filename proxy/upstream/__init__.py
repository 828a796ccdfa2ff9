"""The HTTP client: connections, redirects, retries, ranges, and their failures as types of `errors`.

`client.AiohttpUpstream` implements `ports.Upstream`; the other modules are the rules that it acts on. Knows values, not
services: it does not know what a page or a wheel is, stores nothing, and never decodes or changes a body.
"""
