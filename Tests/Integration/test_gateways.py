"""Two gateways on one control plane: deployments wait for both, name one that is away; each serves from disk when the control
plane is gone, also from its start, and catches up."""

import json
import os
import unittest

from processes import Platform, eventually, folder
from rest import Rest, document
from upstream import Upstream

# A gateway unheard for this long is away.
AWAY_SECONDS = 15


class GatewayTests(unittest.TestCase):
    def setUp(self):
        self.place = folder(self)
        self.upstream = Upstream(self)
        self.platform = Platform(self, f"{self.place}/data", arguments=["--gateway-id", "first"]).start()
        self.rest = self.platform.sign_in("acme")
        self.addCleanup(self.rest.close)
        self.second = self.apart("second")
        self.imported(1)

    def apart(self, name):
        return Platform(self, f"{self.place}/{name}", arguments=[
            "--services", "gateway", "--control-plane", self.platform.control_plane, "--gateway-id", name,
            "--gateway-token-file", f"{self.platform.data}/gateway.token"])

    def imported(self, revision):
        """Each revision has one path more: /r1, /r2, …"""
        body = {"document": document(paths=[f"/r{number + 1}" for number in range(revision)]),
                "upstream": self.upstream.url, "authentication": "none"}
        if revision == 1:
            self.rest.create("/v1/tenants/acme/apis", body)
        else:
            self.rest.create("/v1/tenants/acme/apis/orders/revisions", body)

    def call(self, gateway, path):
        with Rest(gateway.gateway) as rest:
            return rest.request("GET", f"/shop{path}").status

    def state(self, name):
        return next((one["state"] for one in self.rest.all("/v1/gateways") if one["id"] == name), None)

    def live(self, name):
        eventually(lambda: self.state(name) == "live")

    def saved(self, text):
        """The snapshot of the second on its disk, once it holds the text: saving follows serving by a second at most."""
        path = f"{self.second.data}/gateway/snapshot.json"

        def is_there():
            if not os.path.exists(path):
                return False
            with open(path, encoding="utf-8") as file:
                return text in file.read()

        eventually(is_there)
        return path

    def deployed(self, **body):
        deployment = self.rest.deploy("acme", "orders", **body)
        self.assertEqual(deployment["state"], "success", deployment)
        return deployment["gateway_response"]

    def test_a_deployment_waits_for_both(self):
        self.second.start()
        self.live("second")
        answer = self.deployed()
        self.assertEqual((sorted(answer["acknowledged"]), answer["away"]), (["first", "second"], []))
        # At once, with no further waiting: it has said that it runs the revision.
        self.assertEqual([self.call(gateway, "/r1") for gateway in (self.platform, self.second)], [200, 200])
        results = self.rest.events("deploy-results", "acme")
        self.assertEqual(results[-1]["value"]["gateway_response"], answer)

    def test_one_that_is_away_is_named_and_catches_up(self):
        self.second.start()
        self.live("second")
        self.deployed()
        self.saved("/shop/r1")
        self.second.kill()
        self.imported(2)
        answer = self.deployed()
        self.assertEqual((answer["acknowledged"], answer["away"]), (["first"], ["second"]))
        self.assertEqual(self.state("second"), "away")
        self.second.start()
        self.assertEqual(self.call(self.second, "/r1"), 200, "it starts with what it had")
        eventually(lambda: self.call(self.second, "/r2") == 200)
        self.live("second")

    def test_the_second_serves_from_disk_while_the_control_plane_is_gone(self):
        self.second.start()
        self.live("second")
        self.deployed()
        self.saved("/shop/r1")
        self.platform.kill()
        self.assertEqual(self.call(self.second, "/r1"), 200)
        self.second.kill()
        self.second.start()
        self.assertEqual(self.call(self.second, "/r1"), 200, "from disk, with no control plane at all")

        self.platform.start()
        self.rest.close()
        self.live("second")
        self.imported(2)
        self.assertEqual(sorted(self.deployed()["acknowledged"]), ["first", "second"])
        self.assertEqual([self.call(gateway, "/r2") for gateway in (self.platform, self.second)], [200, 200])
        self.rest.expect(202, "POST", "/v1/tenants/acme/apis/orders/deployments",
                         {"environment": "dev", "action": "undeploy"})
        eventually(lambda: [self.call(one, "/r1") for one in (self.platform, self.second)] == [404, 404])

    def test_both_gateways_end_well_while_calls_are_under_way(self):
        self.second.start()
        self.live("second")
        self.deployed()
        self.assertEqual(self.second.stop(), 0)
        self.assertEqual(self.platform.stop(), 0)

    def test_settings_of_an_import_decide_at_the_gateway(self):
        """A canary with targets of two versions, a path of its own upstream, a cost, and a mock, all by the control plane alone."""
        stable, canary, reports = (Upstream(self) for _ in range(3))
        answer = {"responses": {"200": {"description": "fine", "content": {"application/json": {"example": {"mock": True}}}}}}
        name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
        paths = {"/orders": {"get": answer}, "/reports/{name}.json": {"parameters": [name], "get": answer}, "/mocked": {"get": answer}}
        text = json.dumps({
            "openapi": "3.1.0", "info": {"title": "Shop", "version": "1"}, "servers": [{"url": "/new"}], "paths": paths})
        settings = {
            "upstream": {
                "targets": [{"url": stable.url, "version": "v1"}, {"url": canary.url, "version": "v2"}],
                "canary": {"versions": [{"name": "v1", "weight": 100}, {"name": "v2", "weight": 0}], "force": {"header": "X-Version"}},
                "retries": {"attempts": 1}, "circuit_breaker": {}, "balance": "least_requests"},
            "routes": [
                {"path": "/reports/{name}.json", "upstream": {"targets": [{"url": reports.url + "/base"}]}, "cost": 4},
                {"path": "/mocked", "policies": [{"mock": {"examples": True}}]}]}
        self.rest.create("/v1/tenants/acme/apis", {
            "name": "shop", "document": text, "authentication": "none", "gateway": settings,
            "policies": [{"rate_limit": {"limit": 10, "window": "1h", "by": "ip"}}]})
        self.assertEqual(self.rest.deploy("acme", "shop")["state"], "success")

        def call(path, **fields):
            with Rest(self.platform.gateway) as rest:
                return rest.request("GET", f"/new{path}", fields=fields)

        self.assertEqual(call("/orders").status, 200)
        self.assertEqual(call("/orders", **{"X-Version": "v2"}).status, 200)
        self.assertEqual((stable.requests, canary.requests), (["/orders"], ["/orders"]))
        self.assertEqual(call("/reports/x.json").json, {"path": "/base/reports/x.json"})
        self.assertEqual(call("/reports/x.xml").status, 404)
        self.assertEqual(call("/mocked").json, {"mock": True})
        # Two of one, one of four and one mock make seven of ten: three are left, which is too few for another report.
        refused = call("/reports/y.json")
        self.assertEqual((refused.status, refused.fields["RateLimit"].split(";")[1]), (429, "r=3"))
        self.assertEqual(len(reports.requests), 1)

    def test_a_purge_reaches_both_and_one_that_was_away(self):
        self.second.start()
        self.live("second")
        self.rest.create("/v1/tenants/acme/apis/orders/revisions", {
            "upstream": self.upstream.url, "authentication": "none", "policies": [{"cache": {"ttl": "1h"}}],
            "gateway": {"upstream": {"balance": "least_requests", "retries": {"attempts": 1}}}})
        self.deployed()
        gateways = (self.platform, self.second)

        def asked(gateway):
            before = len(self.upstream.requests)
            self.assertEqual(self.call(gateway, "/r1"), 200)
            return len(self.upstream.requests) - before

        self.assertEqual([asked(one) for one in gateways * 2], [1, 1, 0, 0])
        purge = "/v1/tenants/acme/cache/purges"
        answer = self.rest.expect(200, "POST", purge, {"api": "orders", "wait_seconds": 30}).json
        self.assertEqual((answer["complete"], answer["gateways"]), (True, {"done": 2, "pending": 0, "away": 0}))
        self.assertEqual([asked(one) for one in gateways * 2], [1, 1, 0, 0])
        for gateway in gateways:
            self.rest.expect(200, "POST", purge, {"api": "orders", "url": f"{gateway.gateway}/shop/r1", "wait_seconds": 30})
            self.assertEqual(asked(gateway), 1)
        # A control plane that is away is no reason to keep what it asked for before: it is told when it is back.
        self.platform.kill()
        self.rest.close()
        self.assertEqual(asked(self.second), 0)
        self.platform.start()
        self.live("second")
        answer = self.rest.request("POST", purge, {"all": True, "wait_seconds": 0})
        self.assertIn(answer.status, (200, 202), answer)
        number = answer.json["number"]
        eventually(lambda: self.rest.get(f"{purge}/{number}")["gateways"]["done"] == 2)
        self.assertEqual([asked(one) for one in gateways], [1, 1])

    def test_a_deployment_under_way_survives_the_end_of_the_control_plane(self):
        """Recorded, killed before it could be carried out or confirmed: it goes on after the restart and ends once."""
        self.deployed()
        for number in range(2, 6):
            self.imported(number)
            self.rest.expect(202, "POST", "/v1/tenants/acme/apis/orders/deployments", {"environment": "dev"})
            self.platform.kill()
            self.rest.close()
            self.platform.start()
            deployments = self.rest.all("/v1/tenants/acme/apis/orders/deployments")
            last = self.rest.finished(f"/v1/tenants/acme/apis/orders/deployments/{deployments[0]['id']}")
            self.assertEqual((last["state"], last["revision"]), ("success", number))
            self.assertEqual(self.call(self.platform, f"/r{number}"), 200)
        results = [event["value"]["deployment_id"] for event in self.rest.events("deploy-results", "acme")]
        self.assertEqual(len(results), len(set(results)), "a deployment ended twice")
        self.assertEqual(len(results), len(self.rest.all("/v1/tenants/acme/apis/orders/deployments")))

    def test_a_gateway_with_a_broken_file_waits_for_the_control_plane(self):
        self.second.start()
        self.live("second")
        self.deployed()
        snapshot = self.saved("/shop/r1")
        self.second.stop()
        with open(snapshot, "r+b") as file:
            file.truncate(os.path.getsize(snapshot) // 2)
        self.second.start()
        eventually(lambda: self.call(self.second, "/r1") == 200)
        self.assertIn("not usable", self.second.log())

    def test_two_apis_on_one_address_do_not_both_go_live(self):
        """What collides fails with its reason; what was there stays."""
        self.deployed()
        self.rest.create("/v1/tenants/acme/apis", {
            "name": "rival", "document": document(paths=["/r1"]), "upstream": self.upstream.url,
            "authentication": "none"})
        failed = self.rest.deploy("acme", "rival")
        self.assertEqual(failed["state"], "failed", failed)
        self.assertTrue(failed["detail"], failed)
        self.assertEqual(self.call(self.platform, "/r1"), 200)
        self.assertEqual(self.rest.get("/v1/tenants/acme/apis/rival")["live"], [])
