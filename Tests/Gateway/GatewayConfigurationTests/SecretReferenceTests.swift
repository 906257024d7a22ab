import Documents
import JSON
import Testing

@testable import GatewayConfiguration

struct SecretReferenceTests {
    @Test(arguments: [
        ("secret://crm-token", ["crm-token"]), ("Bearer secret://crm-token", ["crm-token"]),
        ("secret://a:secret://b", ["a", "b"]), ("secret://a.b", ["a"]), ("secret://a@12", ["a"]),
        ("secret://", []), ("secret://Ünicode", []), ("http://x/secret:/a", []), ("ssecret://a", ["a"]),
        ("secretsecret://a", ["a"]), ("", []),
    ])
    func findsNames(_ text: String, _ names: [String]) {
        #expect(SecretReference.names(in: .object(["x": .array([.string(text)])])) == Set(names))
    }

    @Test(arguments: [
        ("secret://crm-token", nil), ("Bearer secret://crm-token.", nil), ("secret://a:secret://b", nil), ("", nil),
        ("ssecret://a", nil), ("secret://user@host", nil), ("secret://", "expected the name"),
        ("x secret://CRM", "expected the name"), ("secret://crm_token", "expected the name"),
        ("secret://crmToken", "expected the name"), ("secret://-a", "expected the name"),
        ("secret://a- b", "expected the name"), ("secret://naïve", "expected the name"),
        ("secret://" + String(repeating: "a", count: 63), nil),
        ("secret://" + String(repeating: "a", count: 64), "expected the name"),
        ("secret://a, secret://B", "expected the name"), ("secret://a@7", "expected no version"),
    ])
    func saysWhatIsNoReference(_ text: String, _ expected: String?) {
        let problem: String? = SecretReference.problem(in: text)
        #expect((problem == nil) == (expected == nil), "\(problem ?? "")")
        if let expected: String { #expect(problem?.hasPrefix(expected) == true, "\(problem ?? "")") }
    }

    @Test func saysWhereItStands() {
        let json: JSONValue = .object([
            "a/b": .array(["secret://one", "secret://One"]), "secret://key": "left", "c": .object(["d": "secret://"]),
        ])
        let found: [String] = SecretReference.problems(in: json, at: JSONPointer(tokens: ["policies"])).map(
            \.place.text)
        #expect(found == ["/policies/a~1b/1", "/policies/secret:~1~1key", "/policies/c/d"])
    }

    @Test func aGatewayThatRunsFromAFileOpensNone() throws {
        let file: String = """
            version: 1
            listen: {http: 127.0.0.1:8000}
            apis:
              - id: orders
                tenant: acme
                routes: [{path: /*}]
                upstream: {targets: [{url: "http://127.0.0.1:9"}]}
                policies:
                  - headers: {request: {set: {X-Token: "Bearer secret://crm"}}}
            """
        do throws(InvalidDocument) {
            _ = try GatewayFile.read(Array(file.utf8))
            Issue.record("was taken")
        } catch {
            #expect(error.problems.map(\.pointer) == ["/apis/0/policies/0/headers/request/set/X-Token"])
            #expect(error.problems.first?.line == 9)
        }
    }

    @Test func replacesThemWhereverTheyStand() {
        let json: JSONValue = .object([
            "a": "Bearer secret://one@3!", "b": .array(["secret://two@07", .int(7)]), "secret://key": "left",
        ])
        let replaced: JSONValue = SecretReference.replacing(in: json) { name, version in
            name == "one" ? "ONE\(version ?? 0)" : nil
        }
        #expect(
            replaced
                == .object([
                    "a": "Bearer ONE3!", "b": .array(["secret://two@07", .int(7)]), "secret://key": "left",
                ]))
        #expect(SecretReference.versioned(in: json) == ["one@3", "two@7"])
    }
}

struct SnapshotSecretTests {
    /// Opens what is written backwards.
    private struct Backwards: SecretOpener {
        func open(_ sealed: [UInt8], reference: String) -> String? {
            String(decoding: sealed.reversed(), as: UTF8.self)
        }
    }

    private static func api(secret: String) -> JSONValue {
        .object([
            "id": "orders", "tenant": "acme", "routes": .array([.object(["path": "/*"])]),
            "upstream": .object(["targets": .array([.object(["url": "http://127.0.0.1:9"])])]),
            "policies": .array([
                .object([
                    "introspection": .object([
                        "endpoint": "https://idp.example.com/introspect", "client_id": "gw",
                        "client_secret": .string(secret),
                    ])
                ])
            ]),
        ])
    }

    @Test func readsAnEntryWithItsSecretsAndKeepsThemOutOfItsForm() throws {
        var document: HashedDocument = HashedDocument()
        try document.put(.api, json: Self.api(secret: "secret://idp@2"), secrets: ["idp@2": "planted"])
        document.advance(to: 1)
        #expect(document.document.apis.count == 1)
        #expect(document.secrets[EntryKey(tenant: "acme", id: "orders")] == ["idp@2": "planted"])
        let sent: JSONValue = try JSONReader.parse(document.serialized())
        #expect(!sent.jsonText.contains("planted"))
        #expect(sent.jsonText.contains("idp@2"))

        // A gateway gets the same document, and reads it with what came sealed.
        var object: JSONObject = try #require(sent.object)
        object["secrets"] = .object(["acme/idp@2": "ZGV0bmFscA=="])
        var received: HashedDocument = HashedDocument()
        try received.receive(JSONValue.object(object).serialized(), opener: Backwards())
        #expect(received.hash == document.hash)
        #expect(received.unreadable.isEmpty)
        #expect(received.document == document.document)
        #expect(!String(decoding: received.serialized(), as: UTF8.self).contains("planted"))

        // Without them the entry is named and left out, and the hash is the same.
        var bare: HashedDocument = HashedDocument()
        try bare.receive(sent.serialized())
        #expect(bare.hash == document.hash)
        #expect(bare.document.apis.isEmpty)
        #expect(bare.unreadable.map(\.problems) == [["secret://idp@2 does not open at this gateway"]])
    }

    @Test func aNewVersionIsAnotherHash() throws {
        var document: HashedDocument = HashedDocument()
        try document.put(.api, json: Self.api(secret: "secret://idp@2"), secrets: ["idp@2": "planted"])
        let before: String = document.hash
        try document.put(.api, json: Self.api(secret: "secret://idp@3"), secrets: ["idp@3": "planted"])
        #expect(document.hash != before)
        document.remove(.api, EntryKey(tenant: "acme", id: "orders"))
        #expect(document.secrets.isEmpty)
    }

    @Test func doesNotTellAValueThatIsRefused() {
        var document: HashedDocument = HashedDocument()
        let long: String = "planted" + String(repeating: "x", count: 600)
        do throws(InvalidDocument) {
            try document.put(.api, json: Self.api(secret: "secret://idp@2"), secrets: ["idp@2": long])
            Issue.record("was taken")
        } catch {
            #expect(error.problems.map(\.pointer) == ["/policies/0/introspection/client_secret"])
            #expect(!error.text().contains("planted"))
        }
    }
}
