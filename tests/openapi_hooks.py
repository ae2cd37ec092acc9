"""Loaded by schemathesis: shows the keys, and signs the webhooks that it makes up."""

import hashlib
import hmac
import os

import requests
import schemathesis


class Signer(requests.auth.AuthBase):
    """The seed's header over the bytes that go out."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        raw = request.body or b""
        raw = raw.encode() if isinstance(raw, str) else raw
        secret = os.environ["DOOR_SECRET"].encode()
        request.headers["X-C2S-Signature"] = hmac.new(secret, raw, hashlib.sha256).hexdigest()
        return request


class Key(requests.auth.AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["X-API-Key"] = os.environ["DOOR_KEY"]
        return request


class Operator(requests.auth.AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {os.environ['DOOR_ADMIN']}"
        return request


schemathesis.auth.set_from_requests(Operator()).apply_to(tag="operator")
schemathesis.auth.set_from_requests(Signer()).apply_to(path="/api/v1/webhook/leads")
schemathesis.auth.set_from_requests(Key()).apply_to(tag="trigger")
