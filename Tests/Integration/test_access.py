"""Every operation against everybody who may not: the list comes from what serves, so a new operation is covered by itself."""

import json
import re
import unittest

from processes import ClassScope, Platform, folder, run
from rest import Rest, document

PASSWORD = "correct horse battery"

# Operations that need no permission. One that is not here declares one, or the review of this list was forgotten.
ANYONE = {
    "signIn", "publicKeys", "getHealth", "getReadiness", "getMetrics",
    # For those who check certificates.
    "getRevocationList", "getAuthorityCertificate",
    # The issuer's: they check a client's credentials, a browser's cookie and form, or a token themselves.
    "issuerMetadata", "authorizationServerMetadata", "authorize", "authorizeByForm", "login", "consent", "token", "introspect", "revoke",
    "userinfo", "userinfoByPost", "deviceAuthorization",
    "devicePage", "deviceDecision", "endSession", "endSessionForm", "beginProviderLogin", "providerCallback",
    "challenge", "signInByPasskey", "pageScript", "factorsPage", "changeFactors", "signedOut",
}
AUTHENTICATED = {
    "me", "myPermissions", "checkPermission", "listRoles", "createUser", "listUsers", "getUser", "setGrants", "setPassword",
    "listSessions", "getSession", "revokeSession", "revokeSessions", "createToken", "listTokens", "revokeToken",
    "beginSecondFactor", "confirmSecondFactor", "stepUp", "removeSecondFactor", "getSecondFactor", "replaceRecoveryCodes",
    "listPasskeys", "beginPasskey", "createPasskey", "renamePasskey", "deletePasskey", "beginStepUp", "stepUpByPasskey",
    "listTasks", "getTask", "listTenants", "listPublishedAPIs", "listOwnApplications", "listOwnSubscriptions",
}


# Operations for which who has a second factor must have shown it lately.
CRITICAL = {
    # Who may do what: users, roles, groups, programs, tokens, clients, second factors and what asks for them.
    "createUser", "updateUser", "setGrants", "setPassword", "resetSecondFactor", "putRole", "deleteRole", "createGroup", "updateGroup",
    "deleteGroup", "addMember", "removeMember", "createServiceAccount", "updateServiceAccount", "deleteServiceAccount",
    "createServiceAccountToken", "createToken", "createClient", "updateClient", "deleteClient", "rotateClientSecret",
    "setSecondFactorPolicy", "replaceRecoveryCodes", "beginPasskey", "createPasskey", "deletePasskey",
    # Keys and secrets.
    "rotateSigningKey", "rotateKeys", "sealKeys", "putSecret", "deleteSecret", "rollBackSecret", "destroySecretVersion",
    "putPlatformSecret", "deletePlatformSecret", "rollBackPlatformSecret", "destroyPlatformSecretVersion",
    "createGatewayToken", "issuePlatformCertificate", "renewPlatformCertificate", "revokePlatformCertificate",
    "rotatePlatformCertificateAuthority", "allowCertificateNames",
    # What cannot be undone, and what says everything about somebody.
    "deleteTenant", "beginTenantDeletion", "exportTenant", "downloadTenantExport", "exportPersonalData", "erasePersonalData",
}


def sample(schema):
    """Some value that satisfies the schema of a body, as far as the access check has to get."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return sample(schema["anyOf"][0])
    kind = schema.get("type")
    if kind == "object":
        known = schema.get("properties", {})
        return {name: sample(known.get(name, {})) for name in schema.get("required", [])}
    if kind == "array":
        return []
    if kind in ("integer", "number"):
        return max(schema.get("minimum", 0), 0)
    if kind == "boolean":
        return True
    return "a" * max(schema.get("minLength", 1), 1)


# Permissions that are always about one API, which may have conditions by its labels; and operations that have them and are about no one.
OF_APIS = re.compile("(catalog:api|deployments:deployment|portal:subscription|observability:traffic):")
OF_NO_ONE_API = {"getCachePurge"}


class AccessTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = ClassScope(cls)
        cls.place = folder(cls.scope)
        cls.platform = Platform(cls.scope, f"{cls.place}/data").start()
        cls.admin = cls.platform.sign_in("acme")
        cls.scope.addCleanup(cls.admin.close)
        cls.admin.create("/v1/tenants", {"name": "globex"})
        for name, role in (("outsider", "cpi-tenant"), ("watcher", "viewer")):
            tenant = "globex" if name == "outsider" else "acme"
            cls.admin.create("/v1/users", {"name": name, "password": PASSWORD, "grants": [{"role": role, "tenant": tenant}]})
        cls.operations = []
        for path, item in cls.admin.get("/openapi.json")["paths"].items():
            for method, operation in item.items():
                cls.operations.append((method.upper(), path, operation))

    def client(self, name=None):
        rest = Rest(self.platform.control_plane)
        self.addCleanup(rest.close)
        if name:
            rest.sign_in(name, PASSWORD)
        return rest

    def send(self, rest, method, path, operation):
        target = path.replace("{tenant}", "acme")
        target = re.sub(r"\{[^}]+\}", "nothing", target)
        content = operation.get("requestBody", {}).get("content", {})
        query = [f"{p['name']}={sample(p['schema'])}" for p in operation.get("parameters", [])
                 if p["in"] == "query" and p["required"]]
        if any(p["in"] == "query" and p["name"] == "tenant" for p in operation.get("parameters", [])):
            query.append("tenant=acme")
        if query:
            target += "?" + "&".join(query)
        if "application/json" in content:
            return rest.request(method, target, sample(content["application/json"]["schema"]))
        if content:
            kind = next(iter(content))
            return rest.request(method, target, raw=b"", fields={"Content-Type": kind})
        return rest.request(method, target)

    def test_every_operation_declares_what_it_needs(self):
        self.assertGreater(len(self.operations), 60)
        for method, path, operation in self.operations:
            with self.subTest(operation["operationId"]):
                access = operation["x-access"]
                self.assertEqual("x-permission" in operation, access in ("tenant", "scoped", "platform"))
                if access == "anyone":
                    self.assertIn(operation["operationId"], ANYONE)
                if access == "authenticated":
                    self.assertIn(operation["operationId"], AUTHENTICATED)

    def test_these_operations_ask_for_the_second_factor(self):
        critical = {operation["operationId"] for _, _, operation in self.operations if operation.get("x-critical")}
        self.assertEqual(critical, CRITICAL)

    def test_every_operation_about_apis_says_what_it_does_about_labels(self):
        for method, path, operation in self.operations:
            with self.subTest(operation["operationId"]):
                of_apis = bool(OF_APIS.match(operation.get("x-permission", "")))
                self.assertEqual("x-labels" in operation, of_apis)
                self.assertEqual(operation.get("x-labels") == "tenant", operation["operationId"] in OF_NO_ONE_API)
                body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
                named = {p["name"] for p in operation.get("parameters", [])} | set(body.get("properties", {}))
                if "api" in named and "x-permission" in operation:
                    self.assertIn(operation.get("x-labels"), ("api", "list"))

    def test_nobody_gets_anywhere_without_a_token(self):
        rest = self.client()
        for method, path, operation in self.operations:
            if operation["x-access"] == "anyone":
                continue
            with self.subTest(f"{method} {path}"):
                answer = self.send(rest, method, path, operation)
                self.assertEqual(answer.status, 401, answer)

    def test_another_tenant_is_not_there(self):
        rest = self.client("outsider")
        for method, path, operation in self.operations:
            if operation["x-access"] not in ("tenant", "scoped", "platform", "gateway"):
                continue
            with self.subTest(f"{method} {path}"):
                answer = self.send(rest, method, path, operation)
                self.assertIn(answer.status, (403, 404), answer)
                if operation["x-access"] in ("tenant", "scoped"):
                    self.assertEqual(answer.status, 404, answer)
                    # The same, to the letter, as for a tenant that nobody has.
                    other = self.send(rest, method, path.replace("{tenant}", "nobody"), operation)
                    if "{tenant}" in path:
                        self.assertEqual(answer.json["detail"].replace("acme", "nobody"), other.json["detail"])

    def test_who_may_only_read_changes_nothing(self):
        rest = self.client("watcher")
        for method, path, operation in self.operations:
            if operation["x-access"] not in ("tenant", "scoped", "platform", "gateway") or method == "GET":
                continue
            with self.subTest(f"{method} {path}"):
                answer = self.send(rest, method, path, operation)
                self.assertIn(answer.status, (403, 404), answer)
                if operation["x-access"] in ("tenant", "scoped"):
                    self.assertEqual(answer.status, 403, answer)

    def test_the_command_line_explains(self):
        url, environment = self.platform.control_plane, {"PASSERELLE_TOKEN": self.admin.token}

        def command(*arguments, code=0):
            done = run(*arguments, "--url", url, "--output", "json", environment=environment)
            self.assertEqual(done.returncode, code, done)
            return json.loads(done.stdout) if done.stdout else None

        command("roles", "put", "dev-deployer", "--permission", "deployments:deployment:*", "--environment", "dev", "--tenant", "acme")
        command("users", "grant", "watcher", "--role", "viewer@acme", "--role", "dev-deployer@acme")
        check = ["permissions", "check", "--user", "watcher", "--tenant", "acme", "--environment"]
        allowed = command(*check, "dev")
        self.assertTrue(allowed["allowed"])
        self.assertEqual(allowed["rule"], "role dev-deployer in tenant acme allows deployments:deployment:*")
        refused = command(*check, "prod")
        self.assertFalse(refused["allowed"])
        self.assertIn("only in the environments dev", refused["rule"])
        rest = self.client("watcher")
        for where, status in (("prod", 403), ("dev", 404)):
            answer = rest.request("POST", "/v1/tenants/acme/apis/none/deployments", {"environment": where})
            self.assertEqual(answer.status, status, answer)
        token = command("tokens", "create", "ci", "--scope", "identity:user:read")["token"]
        with Rest(url, token) as limited:
            self.assertEqual(limited.request("GET", "/v1/users").status, 200)
            self.assertEqual(limited.request("POST", "/v1/tenants", {"name": "more"}).status, 403)
            for path in ("/v1/tenants", "/v1/portal/apis", "/v1/portal/applications"):
                self.assertEqual(limited.request("GET", path).status, 403, path)

    def test_the_command_line_has_labels(self):
        url, environment = self.platform.control_plane, {"PASSERELLE_TOKEN": self.admin.token}
        file = f"{self.place}/labelled.json"
        with open(file, "w", encoding="utf-8") as out:
            out.write(document(title="Labelled", base="/labelled"))

        def command(*arguments, form="json"):
            done = run(*arguments, "--tenant", "acme", "--url", url, "--output", form, environment=environment)
            self.assertEqual(done.returncode, 0, done)
            return json.loads(done.stdout) if form == "json" else done.stdout

        add = ["apis", "import", file, "--upstream", "http://127.0.0.1:9"]
        self.assertEqual(command(*add, "--label", "team=payments", "--label", "tier=gold")["labels"], {"team": "payments", "tier": "gold"})
        self.assertEqual(command(*add, "--name", "labelled", "--label", "tier=silver")["labels"], {"team": "payments", "tier": "silver"})
        self.assertEqual(command("apis", "label", "labelled", "--set", "stage=beta", "--remove", "tier")["labels"], {"stage": "beta", "team": "payments"})
        self.assertEqual([one["name"] for one in command("apis", "list", "--labels", "team=payments,stage=beta")], ["labelled"])
        self.assertEqual(command("apis", "list", "--labels", "team=billing"), [])
        self.assertIn("stage=beta,team=payments", command("apis", "list", form="table"))
        self.assertRegex(command("apis", "show", "labelled", form="table"), r"(?m)^labels +stage=beta,team=payments$")
        command("roles", "put", "payer", "--permission", "catalog:api:*", "--label", "team=payments", "--label", "team=treasury")
        self.admin.create("/v1/users", {"name": "payer", "password": PASSWORD, "grants": [{"role": "payer", "tenant": "acme"}]})
        check = ["permissions", "check", "--user", "payer", "--permission", "catalog:api:write"]
        allowed = command(*check, "--api", "labelled")
        self.assertEqual(allowed, {
            "allowed": True, "user": "payer",
            "rule": "role payer in tenant acme allows catalog:api:* for APIs with team in (payments, treasury)"})
        command("apis", "label", "labelled", "--set", "team=billing")
        self.assertIn("and this one has another 'team'", command(*check, "--api", "labelled")["rule"])
        self.assertEqual(self.client("payer").request("GET", "/v1/tenants/acme/apis/labelled").status, 404)
