import Contracts
import Crypto
import HTTP
import Identifiers
import JSON
import KeyRing
import REST
import ServiceTestKit
import Store
import Telemetry
import TestKit
import Testing
import Time

@testable import Secrets

/// Certificates as the openssl command line sees them, at the fixture's time.
struct CertificateRoutesTests {
    private static let path: String = "/v1/tenants/acme/certificates"
    private static let authority: String = "/v1/tenants/acme/certificate-authority"

    let openssl: OpenSSL = OpenSSL()

    private static func fixture(allowed: [String] = ["example.com", "10.1.0.0/16"]) async throws -> SecretsFixture {
        let fixture: SecretsFixture = try await SecretsFixture()
        let answer: TestAnswer = try await fixture.send(
            "PUT", Self.authority, "admin", .object(["allowed_names": .array(allowed.map { .string($0) })]))
        try #require(answer.status == 200)
        return fixture
    }

    private static func issue(
        _ fixture: SecretsFixture, names: [String] = ["api.example.com"], usage: String = "server",
        _ more: JSONObject = [:]
    ) async throws -> TestAnswer {
        var body: JSONObject = more
        body["usage"] = .string(usage)
        if !names.isEmpty { body["names"] = .array(names.map { .string($0) }) }
        return try await fixture.send("POST", Self.path, "devops@acme", .object(body))
    }

    /// The root, and every list of revoked certificates as they are served.
    private func trust(_ fixture: SecretsFixture, of path: String = authority) async throws -> (
        root: String, lists: String
    ) {
        let shown: JSONValue = try await fixture.send("GET", path, "admin").json
        let root: JSONValue = try #require(shown["root"])
        var lists: String = ""
        for one in [root] + (shown["issuing"]?.elements ?? []) {
            let served: TestAnswer = try await fixture.harness.send(
                "GET", "/v1/pki/\(one["id"]?.text ?? "")/crl", token: nil)
            #expect(served.fields["Content-Type"] == "application/pkix-crl")
            let der: String = self.openssl.file("list.der", served.bytes)
            lists += try await self.openssl.run("crl", "-inform", "DER", "-in", der).text
        }
        return (
            self.openssl.file("root.pem", root["certificate"]?.text ?? ""), self.openssl.file("lists.pem", lists)
        )
    }

    private func verify(
        _ fixture: SecretsFixture, _ issued: JSONValue, _ more: [String] = [], of path: String = authority
    ) async throws -> (code: Int32, text: String) {
        let trust: (root: String, lists: String) = try await self.trust(fixture, of: path)
        let leaf: String = self.openssl.file("leaf.pem", issued["certificate"]?.text ?? "")
        let chain: String = self.openssl.file("chain.pem", issued["chain"]?.text ?? "")
        let now: Int64 = fixture.harness.clock.now().seconds
        return try await self.openssl.run(
            words: [
                "verify", "-x509_strict", "-attime", "\(now)", "-CAfile", trust.root, "-CRLfile", trust.lists,
                "-crl_check_all", "-untrusted", chain,
            ] + more + [leaf])
    }

    @Test func issuesWhatOthersVerifyUntilItIsRevoked() async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        let issued: TestAnswer = try await Self.issue(fixture, names: ["api.example.com", "10.1.2.3"])
        #expect(issued.status == 201)
        let key: String = try #require(issued.json["private_key"]?.text)
        #expect(key.hasPrefix("-----BEGIN PRIVATE KEY-----"))
        let server: [String] = ["-purpose", "sslserver", "-verify_hostname", "api.example.com"]
        let good: (code: Int32, text: String) = try await self.verify(fixture, issued.json, server)
        #expect(good.code == 0, "\(good.text)")
        #expect(try await self.verify(fixture, issued.json, ["-purpose", "sslclient"]).code != 0)
        #expect(try await self.verify(fixture, issued.json, ["-verify_hostname", "other.example.com"]).code != 0)
        let id: String = issued.json["id"]?.text ?? ""
        let revoked: TestAnswer = try await fixture.send(
            "POST", "\(Self.path)/\(id)/revocation", "devops@acme", .object(["reason": "key-compromise"]))
        #expect(revoked.json["state"]?.text == "revoked")
        let bad: (code: Int32, text: String) = try await self.verify(fixture, issued.json, server)
        #expect(bad.code != 0)
        #expect(bad.text.contains("certificate revoked"), "\(bad.text)")
        let list: String = try await self.openssl.run(
            "crl", "-in", try await self.trust(fixture).lists, "-noout", "-text"
        ).text
        #expect(list.contains("X509v3 CRL Number"), "\(list)")
        let again: TestAnswer = try await fixture.send(
            "POST", "\(Self.path)/\(id)/revocation", "devops@acme", .object([:]))
        #expect(again.status == 409)
        #expect(
            try await fixture.harness.auditTypes().filter { $0.hasPrefix("certificate.") }
                == ["certificate.issued", "certificate.revoked"])
    }

    @Test func saysWhatTheStandardsWant() async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        let issued: TestAnswer = try await Self.issue(fixture, usage: "both")
        let leaf: String = self.openssl.file("leaf.pem", issued.json["certificate"]?.text ?? "")
        let text: String = try await self.openssl.run("x509", "-in", leaf, "-noout", "-text").text
        for part in [
            "CA:FALSE", "Digital Signature", "TLS Web Server Authentication, TLS Web Client Authentication",
            "DNS:api.example.com", "CRL Distribution Points", "/v1/pki/pki_", "CA Issuers - URI:",
            "Authority Key Identifier",
        ] { #expect(text.contains(part), "\(part) in \(text)") }
        let shown: JSONValue = try await fixture.send("GET", Self.authority, "viewer@acme").json
        let issuing: String = self.openssl.file(
            "issuing.pem", shown["issuing"]?.elements?.first?["certificate"]?.text ?? "")
        let authority: String = try await self.openssl.run("x509", "-in", issuing, "-noout", "-text").text
        for part in ["CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "DNS:example.com", "IP:10.1.0.0/255.255.0.0"] {
            #expect(authority.contains(part), "\(part) in \(authority)")
        }
        let served: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/pki/\(issued.json["authority"]?.text ?? "")/certificate", token: nil)
        #expect(served.fields["Content-Type"] == "application/pkix-cert")
        #expect(try await fixture.harness.send("GET", "/v1/pki/pki_none/crl", token: nil).status == 404)
    }

    @Test func keepsToTheNamesTheTenantIsAllowed() async throws {
        let fixture: SecretsFixture = try await Self.fixture(allowed: ["example.com"])
        let refused: TestAnswer = try await Self.issue(
            fixture, names: ["api.example.com", "globex.com", "10.1.2.3", "badexample.com"])
        #expect(refused.status == 400)
        #expect(refused.pointers == ["/names/1", "/names/2", "/names/3"])
        for name in ["API.example.com", "a b", "*.com", "-a.example.com", "1.2.3", ""] {
            #expect(try await Self.issue(fixture, names: [name]).status == 400, "\(name)")
        }
        #expect(try await Self.issue(fixture, names: []).pointers == ["/common_name"])
        // Those who check take a common name with dots for a name, where there is no other.
        #expect(
            try await Self.issue(fixture, names: [], usage: "client", ["common_name": "www.globex.com"]).pointers
                == ["/common_name"])
        let client: TestAnswer = try await Self.issue(fixture, names: [], usage: "client", ["common_name": "shop"])
        let good: (code: Int32, text: String) = try await self.verify(fixture, client.json, ["-purpose", "sslclient"])
        #expect(good.code == 0, "\(good.text)")
        // A tenant sets its names by itself in no role.
        let own: TestAnswer = try await fixture.send(
            "PUT", Self.authority, "cpi-tenant@acme", .object(["allowed_names": ["globex.com"]]))
        #expect(own.status == 403)
        let wrong: TestAnswer = try await fixture.send(
            "PUT", Self.authority, "admin", .object(["allowed_names": ["*.example.com", "a b", "fine.org"]]))
        #expect(wrong.pointers == ["/allowed_names/0", "/allowed_names/1"])
    }

    /// The authority itself is held to the names, whatever the service would let pass.
    @Test func theAuthorityIsConstrained() async throws {
        let fixture: SecretsFixture = try await Self.fixture(allowed: ["example.com"])
        let pki: PKI = PKI(sealer: KeyRingSealer(keys: fixture.keys), publicURL: "http://127.0.0.1")
        let author: Author = Author(caller: .platform("test"), trace: .make())
        let key: PublicKey = try PrivateKey.generate(.p256).publicKey()
        for (name, isGood) in [("a.example.com", true), ("a.globex.com", false), ("10.1.2.3", false)] {
            let order: PKI.Order = PKI.Order(
                key: key, commonName: "x", names: [name], usage: .server, lifetime: 3_600)
            let issued: PKI.Issued = try await fixture.harness.services.store.write {
                try pki.issue(order, tenant: "acme", author, in: $0)
            }
            let verified: (code: Int32, text: String) = try await self.verify(
                fixture, .object(["certificate": .string(issued.record.pem), "chain": .string(issued.chain)]))
            #expect((verified.code == 0) == isGood, "\(name): \(verified.text)")
        }
    }

    @Test func issuesForRequests() async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        let key: String = self.openssl.folder.file("own.key")
        let made: (code: Int32, text: String) = try await self.openssl.run(
            "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/CN=Own", "-addext",
            "subjectAltName=DNS:own.example.com,IP:10.1.9.9")
        // It tells of the key it makes first.
        let lines: [Substring] = made.text.split(separator: "\n")
        let request: String =
            lines.drop { !$0.hasPrefix("-----BEGIN CERTIFICATE REQUEST") }.joined(separator: "\n") + "\n"
        let issued: TestAnswer = try await Self.issue(fixture, names: [], ["request": .string(request)])
        #expect(issued.status == 201, "\(issued.detail)")
        #expect(issued.json["private_key"] == nil)
        #expect(issued.json["common_name"]?.text == "Own")
        #expect(issued.json["names"]?.elements?.compactMap(\.text) == ["own.example.com", "10.1.9.9"])
        let good: (code: Int32, text: String) = try await self.verify(fixture, issued.json, ["-purpose", "sslserver"])
        #expect(good.code == 0, "\(good.text)")
        let both: TestAnswer = try await Self.issue(fixture, ["request": .string(request), "key": "p256"])
        #expect(both.pointers == ["/key"])
        let broken: TestAnswer = try await Self.issue(
            fixture, ["request": .string(request.replacing("CERTIFICATE REQUEST", with: "X"))])
        #expect(broken.pointers == ["/request"])
    }

    /// A request in PEM, as openssl makes it.
    private func request(_ key: [String], _ more: [String] = []) async throws -> String {
        let words: [String] = ["req", "-new", "-nodes", "-keyout", self.openssl.folder.file("made.key")]
        let made: (code: Int32, text: String) = try await self.openssl.run(words: words + key + more)
        try #require(made.code == 0, "\(made.text)")
        let lines: [Substring] = made.text.split(separator: "\n")
        return lines.drop { !$0.hasPrefix("-----BEGIN CERTIFICATE REQUEST") }.joined(separator: "\n") + "\n"
    }

    /// Nothing that a request asks for besides its key, its names and its common name is in the certificate.
    @Test func aRequestMakesNobodyAnAuthority() async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        let request: String = try await self.request(
            ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            [
                "-subj", "/O=globex/OU=admins/CN=own/emailAddress=root@globex.com", "-addext",
                "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-addext",
                "extendedKeyUsage=codeSigning,anyExtendedKeyUsage", "-addext",
                "nameConstraints=permitted;DNS:globex.com",
                "-addext",
                "subjectAltName=DNS:own.example.com,URI:urn:passerelle:gateway:default:first,email:a@globex.com,RID:1.2.3.4",
                "-addext", "1.2.3.4=critical,ASN1:UTF8String:unknown",
            ])
        let issued: TestAnswer = try await Self.issue(fixture, names: [], ["request": .string(request)])
        #expect(issued.status == 201, "\(issued.detail)")
        #expect(issued.json["names"]?.elements?.compactMap(\.text) == ["own.example.com"])
        let leaf: String = self.openssl.file("leaf.pem", issued.json["certificate"]?.text ?? "")
        let text: String = try await self.openssl.run("x509", "-in", leaf, "-noout", "-text").text
        for part in ["CA:FALSE", "DNS:own.example.com", "TLS Web Server Authentication"] {
            #expect(text.contains(part), "\(part) in \(text)")
        }
        for part in [
            "CA:TRUE", "Certificate Sign", "globex", "admins", "urn:", "email", "Registered ID", "Code Signing",
            "Any Extended", "Name Constraints", "1.2.3.4", "unknown",
        ] { #expect(!text.contains(part), "\(part) in \(text)") }
        // As an authority it convinces nobody.
        #expect(try await self.verify(fixture, issued.json, ["-purpose", "sslserver"]).code == 0)
        #expect(try await self.verify(fixture, issued.json, ["-purpose", "crlsign"]).code != 0)
    }

    @Test(arguments: [
        ["-newkey", "rsa:1024"], ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"],
        ["-newkey", "ed448"],
    ])
    func keysThatAreNotTakenAreRefused(key: [String]) async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        let request: String = try await self.request(key, ["-subj", "/CN=own"])
        let refused: TestAnswer = try await Self.issue(fixture, ["request": .string(request)])
        #expect(refused.status == 400)
        #expect(refused.pointers == ["/request"])
    }

    @Test(arguments: [
        "subjectAltName=DNS:own.globex.com", "subjectAltName=DNS:own.example.com,DNS:*.com",
        "subjectAltName=IP:10.2.0.1",
        "subjectAltName=DNS:own.example.com.globex.com", "subjectAltName=DNS:own_example.example.com",
    ])
    func namesOfARequestAreHeldToTheRules(names: String) async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        let request: String = try await self.request(
            ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["-subj", "/CN=own", "-addext", names])
        #expect(try await Self.issue(fixture, names: [], ["request": .string(request)]).status == 400)
    }

    @Test func renewsWithOverlap() async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        let first: TestAnswer = try await Self.issue(fixture, ["lifetime_seconds": 864_000])
        let id: String = first.json["id"]?.text ?? ""
        fixture.harness.clock.advance(by: .seconds(500_000))
        let next: TestAnswer = try await fixture.send("POST", "\(Self.path)/\(id)/renewal", "devops@acme", .object([:]))
        #expect(next.status == 201)
        #expect(next.json["renews"]?.text == id)
        #expect(next.json["names"] == first.json["names"])
        #expect(next.json["private_key"]?.text != first.json["private_key"]?.text)
        let end: Timestamp = try #require(Timestamp(rfc3339: next.json["not_after"]?.text ?? ""))
        #expect(end.seconds - fixture.harness.clock.now().seconds == 864_000)
        for issued in [first, next] { #expect(try await self.verify(fixture, issued.json).code == 0) }
        let again: TestAnswer = try await fixture.send(
            "POST", "\(Self.path)/\(id)/renewal", "devops@acme", .object([:]))
        #expect(again.status == 409)
        fixture.harness.clock.advance(by: .seconds(400_000))
        let list: TestAnswer = try await fixture.send("GET", "\(Self.path)?state=expired")
        #expect(list.items("id") == [id])
        #expect(try await self.verify(fixture, first.json).text.contains("expired"))
        #expect(try await fixture.send("GET", "\(Self.path)?state=valid").items.count == 1)
        #expect(try await fixture.send("GET", "\(Self.path)?ends_within_days=4").items.count == 1)
        #expect(try await fixture.send("GET", "\(Self.path)?ends_within_days=10").items.count == 2)
        let late: TestAnswer = try await fixture.send("POST", "\(Self.path)/\(id)/renewal", "devops@acme", .object([:]))
        #expect(late.status == 409)
    }

    /// Those who ask at the same time ask for the same one.
    @Test func renewsOnce() async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        let id: String = try await Self.issue(fixture).json["id"]?.text ?? ""
        let statuses: [Int] = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<16 {
                group.addTask {
                    try await fixture.send("POST", "\(Self.path)/\(id)/renewal", "devops@acme", .object([:])).status
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(statuses.filter { $0 == 201 }.count == 1)
        #expect(statuses.filter { $0 == 409 }.count == 15)
        #expect(try await fixture.send("GET", Self.path).items.count == 2)
    }

    @Test func tellsOfCertificatesThatEnd() async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        _ = try await Self.issue(fixture)
        let renewed: TestAnswer = try await Self.issue(fixture)
        let watch: CertificateWatch = CertificateWatch(
            services: fixture.harness.services,
            pki: PKI(sealer: KeyRingSealer(keys: fixture.keys), publicURL: "http://127.0.0.1")
        ) { false }
        _ = try await fixture.send(
            "POST", "\(Self.path)/\(renewed.json["id"]?.text ?? "")/renewal", "devops@acme",
            .object(["lifetime_seconds": .int(CertificateRules.lifetimes.upperBound)]))
        // Days that pass, how often it was told by then, and how many end soon.
        let course: [(Int64, Int, Int)] = [
            (59, 0, 0), (2, 1, 1), (1, 1, 1), (22, 2, 1), (0, 2, 1), (5, 3, 1), (2, 3, 0),
        ]
        for (days, expected, ending) in course {
            fixture.harness.clock.advance(by: .seconds(days * 86_400))
            await watch.look()
            let told: [JSONValue] = try await fixture.harness.events(Topics.notifications)
            #expect(told.count == expected)
            #expect(told.allSatisfy { $0["type"]?.text == "certificate-expiring" })
            let metrics: String = String(decoding: fixture.harness.services.metrics.prometheusText(), as: UTF8.self)
            #expect(metrics.contains("\npasserelle_pki_certificates_ending \(ending)\n"), "after \(days) more days")
        }
        let events: [JSONValue] = try await fixture.harness.auditEntries("certificate.expiring")
        #expect(events.count == 3)
    }

    @Test func listsAreSignedAnewAndCanBeKept() async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        let issued: TestAnswer = try await Self.issue(fixture)
        let path: String = "/v1/pki/\(issued.json["authority"]?.text ?? "")/crl"
        let first: TestAnswer = try await fixture.harness.send("GET", path, token: nil)
        #expect(first.fields["ETag"] == "\"1\"")
        #expect(first.fields["Cache-Control"] == "public, max-age=300")
        let kept: TestAnswer = try await fixture.harness.send(
            "GET", path, token: nil, fields: [("If-None-Match", "\"1\"")])
        #expect(kept.status == 304)
        let watch: CertificateWatch = CertificateWatch(
            services: fixture.harness.services,
            pki: PKI(sealer: KeyRingSealer(keys: fixture.keys), publicURL: "http://127.0.0.1")
        ) { false }
        await watch.look()
        #expect(try await fixture.harness.send("GET", path, token: nil).fields["ETag"] == "\"1\"")
        fixture.harness.clock.advance(by: .seconds(CertificateRules.listEvery + 1))
        await watch.look()
        let next: TestAnswer = try await fixture.harness.send("GET", path, token: nil)
        #expect(next.fields["ETag"] == "\"2\"")
        let file: String = self.openssl.file("list.der", next.bytes)
        let text: String = try await self.openssl.run("crl", "-inform", "DER", "-in", file, "-noout", "-text").text
        #expect(text.contains("No Revoked Certificates"))
    }

    @Test func keysAreShownOnceAndKeptSealed() async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        let fields: [(String, String)] = [("Idempotency-Key", "one")]
        let body: JSONValue = .object(["usage": "server", "names": ["api.example.com"]])
        let first: TestAnswer = try await fixture.send("POST", Self.path, "devops@acme", body, fields: fields)
        let again: TestAnswer = try await fixture.send("POST", Self.path, "devops@acme", body, fields: fields)
        #expect(first.json["private_key"]?.text != nil)
        #expect(again.json["id"] == first.json["id"])
        #expect(again.json["private_key"] == nil)
        let shown: TestAnswer = try await fixture.send("GET", "\(Self.path)/\(first.json["id"]?.text ?? "")")
        #expect(shown.json["private_key"] == nil)
        for topic in [Topics.auditLog, Topics.notifications] {
            for event in try await fixture.harness.events(topic) { #expect(!event.jsonText.contains("PRIVATE KEY")) }
        }
        // Rotation takes the keys of authorities along, the platform's own too.
        let platform: PlatformCertificates = PlatformCertificates(
            sealer: KeyRingSealer(keys: fixture.keys), publicURL: "http://127.0.0.1")
        let own: PlatformCertificates.Own = try await platform.own(
            names: ["localhost"], in: fixture.harness.services.store)
        for tenant in ["", "acme"] { _ = try await fixture.keys.rotateDataKey(tenant: tenant) }
        #expect(try await fixture.keys.renew(SecretsService.sealedColumns) == 0)
        fixture.harness.clock.advance(by: .seconds(10))
        let destroyed: [String] = try await fixture.keys.destroyUnneeded(SecretsService.sealedColumns)
        #expect(destroyed == ["/1", "acme/1"])
        #expect(try await Self.issue(fixture).status == 201)
        let same: PlatformCertificates.Own = try await platform.own(
            names: ["localhost"], in: fixture.harness.services.store)
        #expect(try same.key.pem() == own.key.pem())
    }

    @Test func certificatesAreTheTenantsAlone() async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        let issued: TestAnswer = try await Self.issue(fixture)
        let path: String = "\(Self.path)/\(issued.json["id"]?.text ?? "")"
        for token in ["devops@globex", "cpi-tenant@globex"] {
            #expect(try await fixture.send("GET", path, token).status == 404)
            #expect(try await fixture.send("POST", "\(path)/revocation", token, .object([:])).status == 404)
        }
        #expect(try await fixture.send("POST", "\(path)/revocation", "viewer@acme", .object([:])).status == 403)
        #expect(try await fixture.send("GET", path, "viewer@acme").status == 200)
        for token in ["devops@acme", "cpi-admin"] {
            #expect(try await fixture.send("GET", "/v1/certificates", token).status == 403)
            #expect(try await fixture.send("POST", "/v1/certificate-authority", token).status == 403)
        }
        #expect(
            try await fixture.send("GET", "/v1/certificates/\(issued.json["id"]?.text ?? "")", "admin").status == 404)
        let own: TestAnswer = try await fixture.send(
            "POST", "/v1/certificates", "admin", .object(["usage": "server", "names": ["anything.test"]]))
        #expect(own.status == 201)
        let good: (code: Int32, text: String) = try await self.verify(
            fixture, own.json, of: "/v1/certificate-authority")
        #expect(good.code == 0, "\(good.text)")
        #expect(try await self.verify(fixture, own.json).code != 0)
    }

    @Test func answersUnavailableWhileSealed() async throws {
        let fixture: SecretsFixture = try await Self.fixture()
        let issued: TestAnswer = try await Self.issue(fixture)
        fixture.keys.seal(reason: "a test")
        #expect(try await Self.issue(fixture).status == 503)
        // Those who check go on.
        let list: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/pki/\(issued.json["authority"]?.text ?? "")/crl", token: nil)
        #expect(list.status == 200)
    }
}
