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
        let sent: JSONValue = document.json()
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
        #expect(!received.json().jsonText.contains("planted"))

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
