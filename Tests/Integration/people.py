"""People who sign in: a platform with the tenant `acme` for all tests of a class, users and callers of it, a browser that fills the pages'
forms, an authenticator app."""

import base64
import hashlib
import hmac
import importlib.util
import re
import struct
import sys
import time
import unittest
import urllib.parse

if not importlib.util.find_spec("authlib"):
    # With requests, installed for the system's Python; this one may be another of the same version.
    sys.path.append("/usr/lib/python3/dist-packages")

import requests  # noqa: E402

from processes import ClassScope, Platform, folder  # noqa: E402
from rest import Rest  # noqa: E402

PASSWORD = "correct horse battery"
# Where clients want their users back: nobody is there.
BACK = "http://127.0.0.1:9/cb"
TIMEOUT = 20


class OnPlatform(unittest.TestCase):
    """Tests of one platform, where `admin` is signed in."""

    @classmethod
    def setUpClass(cls):
        cls.scope = ClassScope(cls)
        cls.place = folder(cls.scope)
        cls.platform = cls.make_platform().start()
        cls.url = cls.platform.control_plane
        cls.admin = cls.platform.sign_in("acme")
        cls.scope.addCleanup(cls.admin.close)

    @classmethod
    def make_platform(cls):
        return Platform(cls.scope, f"{cls.place}/data")

    @classmethod
    def user(cls, name, *grants):
        """A user with these roles, each `role@tenant`, or `role` for all of them. - Returns: the id."""
        grants = [dict(zip(("role", "tenant"), one.split("@"))) for one in grants]
        return cls.admin.create("/v1/users", {"name": name, "password": PASSWORD, "grants": grants})["id"]

    @classmethod
    def caller(cls, name):
        """Somebody who has signed in over REST."""
        rest = Rest(cls.url)
        cls.scope.addCleanup(rest.close)
        rest.sign_in(name, PASSWORD)
        return rest


class Browser:
    """Keeps cookies and fills the forms of pages, as a person would."""

    def __init__(self, session=None):
        self.session = session or requests.Session()

    def open(self, url, name="ada"):
        """Follows to the address of the client, signing in and agreeing on the way."""
        answer = self.session.get(url, allow_redirects=False)
        for _ in range(8):
            if answer.is_redirect:
                target = urllib.parse.urljoin(answer.url, answer.headers["Location"])
                if target.startswith(BACK):
                    return target
                answer = self.session.get(target, allow_redirects=False)
                continue
            answer = self.submit(answer, user=name, password=PASSWORD, decision="allow")
        raise AssertionError(f"no end: {answer.status_code} {answer.text[:500]}")

    def form(self, page, **values):
        """Where the form of a page leads and what it holds, with these values where it asks for them."""
        form = re.search(r'<form method="post" action="([^"]+)"', page.text)
        assert form, page.text
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
        fields = {name: value.replace("&amp;", "&") for name, value in fields.items()}
        known = set(re.findall(r' name="(\w+)"', page.text))
        fields.update({name: value for name, value in values.items() if name in known})
        return urllib.parse.urljoin(page.url, form.group(1)), fields

    def submit(self, page, **values):
        url, fields = self.form(page, **values)
        origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(url))
        return self.session.post(url, data=fields, headers={"Origin": origin}, allow_redirects=False)


def code_of_app(secret, at=None):
    """RFC 6238: what an authenticator app shows, now or at another time."""
    count = struct.pack(">Q", int((at or time.time()) // 30))
    digest = hmac.new(base64.b32decode(secret + "=" * (-len(secret) % 8)), count, hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start:start + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"
