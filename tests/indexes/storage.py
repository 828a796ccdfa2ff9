"""How a store of objects answers, which is what lies behind most indexes of wheels: S3 and those that copy it."""

from __future__ import annotations

from tests.answers import Answer, Request
from tests.bodies import Plain

# What such pages say of their own life; the cache decides for itself.
NO_STORE = ("Cache-Control", "no-cache,no-store,must-revalidate")
SERVER = ("Server", "AmazonS3")
_DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)


def denied(_: Request) -> Answer:
    """403 in XML: what it says of an object that is not there to somebody who may not list the store."""
    return Answer(403, (("Content-Type", "application/xml"), SERVER), Plain(_DENIED))
