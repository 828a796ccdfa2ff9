"""The HTTP client: connections, redirects, retries, ranges, and what can go wrong with them as types of `errors`.

`client.AiohttpUpstream` implements `ports.Upstream`; the rest are the rules that it acts on. Knows values, never
services: it does not know what a page or a wheel is, keeps nothing, and never decodes or changes a body.
"""
