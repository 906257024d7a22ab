import Documents
import JSON
import Testing

@testable import GatewayConfiguration

struct HashedDocumentTests {
    private static func api(_ id: String, tenant: String = "acme", path: String = "/x", weight: Int = 1) throws
        -> APIDefinition
    {
        APIDefinition(
            id: id, tenant: tenant, routes: [RouteDefinition(path: try PathPattern(parsing: path))],
            upstream: UpstreamDefinition(
                targets: [TargetDefinition(url: try TargetURL(parsing: "http://127.0.0.1:9700"), weight: weight)]))
    }

    @Test func theHashDependsOnTheEntriesAndNotOnTheirOrder() throws {
        let first: HashedDocument = HashedDocument(
            GatewayDocument(apis: [try Self.api("a"), try Self.api("b")], plans: [PlanDefinition(id: "p")]), version: 1)
        let second: HashedDocument = HashedDocument(
            GatewayDocument(apis: [try Self.api("b"), try Self.api("a")], plans: [PlanDefinition(id: "p")]), version: 9)
        #expect(first.hash == second.hash)
        #expect(first.document == second.document)
        var third: HashedDocument = second
        third.set(try Self.api("a", weight: 2))
        #expect(third.hash != second.hash)
        third.set(try Self.api("a"))
        #expect(third.hash == second.hash)
        third.remove(.plan, EntryKey(tenant: "default", id: "p"))
        #expect(third.hash != second.hash)
    }

    /// The format is for ever: gateways of another version compute the same.
    @Test func theHashOfAnEmptyDocumentIsKnown() {
        #expect(HashedDocument().hash == "7a264b706d9559a71c3d3ead87ce62a883d7ff02377595ed9d60860ad86428b2")
    }

    @Test func theDocumentIsWrittenInPieces() throws {
        let documents: [GatewayDocument] = [
            GatewayDocument(), GatewayDocument(plans: [PlanDefinition(id: "p")]),
            GatewayDocument(apis: [try Self.api("a"), try Self.api("b")], plans: [PlanDefinition(id: "p")]),
        ]
        for document in documents {
            let hashed: HashedDocument = HashedDocument(document, version: 3)
            let written: JSONValue = try JSONReader.parse(hashed.serialized())
            #expect(written["version"] == 3)
            #expect(written["hash"] == .string(hashed.hash))
            #expect((written["apis"]?.elements ?? []) == document.apis.map { $0.json() })
            #expect((written["plans"]?.elements ?? []) == document.plans.map { $0.json() })
            let secrets: JSONObject = ["acme/key@1": "sealed"]
            #expect(try JSONReader.parse(hashed.serialized(secrets: secrets))["secrets"] == .object(secrets))
        }
    }

    /// A gateway keeps several of each route: what hardly any route has is not in place.
    @Test func aRouteIsSmall() throws {
        #expect(MemoryLayout<RouteDefinition>.size <= 128)
        let plain: RouteDefinition = RouteDefinition(path: try PathPattern(parsing: "/x"))
        var own: RouteDefinition = plain
        own.upstream = try Self.api("a").upstream
        #expect(own != plain)
        var other: RouteDefinition = plain
        other.upstream = try Self.api("a").upstream
        #expect(own == other)
        other.upstream = try Self.api("a", weight: 2).upstream
        #expect(own != other)
        other.upstream = nil
        #expect(other == plain)
    }

    @Test func aWholeDocumentIsReceived() throws {
        let sent: HashedDocument = HashedDocument(GatewayDocument(apis: [try Self.api("a")]), version: 7)
        var held: HashedDocument = HashedDocument()
        try held.receive(sent.serialized())
        #expect(held.version == 7)
        #expect(held.hash == sent.hash)
        #expect(held.document == sent.document)
    }

    @Test func aDeltaLeadsFromOneVersionToTheNext() throws {
        var source: HashedDocument = HashedDocument(
            GatewayDocument(
                apis: [try Self.api("a"), try Self.api("b")], applications: [ApplicationDefinition(id: "x")]),
            version: 1)
        let before: HashedDocument = source
        var held: HashedDocument = HashedDocument()
        try held.receive(source.serialized())
        source.set(try Self.api("b", path: "/changed"))
        source.set(try Self.api("c"))
        source.remove(.api, EntryKey(tenant: "acme", id: "a"))
        source.remove(.application, EntryKey(tenant: "default", id: "x"))
        source.set(PlanDefinition(id: "gold", rateLimit: PlanRateLimit(limit: 1, window: .seconds(1))))
        source.advance(to: 2)
        let delta: SnapshotDelta = source.delta(from: before)
        #expect(delta.changed[.api]?.count == 2)
        #expect(delta.removed[.api] == [EntryKey(tenant: "acme", id: "a")])
        try held.receive(delta.serialized())
        #expect(held.version == 2)
        #expect(held.document == source.document)
        #expect(held.hash == source.hash)
    }

    @Test func aDeltaFromItsOwnChangesIsTheSameAsFromComparing() throws {
        var source: HashedDocument = HashedDocument(GatewayDocument(apis: [try Self.api("a")]), version: 1)
        let before: HashedDocument = source
        source.set(try Self.api("b"))
        source.remove(.api, EntryKey(tenant: "acme", id: "a"))
        source.advance(to: 2)
        var delta: SnapshotDelta = SnapshotDelta(base: 1, version: 2, hash: source.hash)
        delta.add(.api, EntryKey(tenant: "acme", id: "b"), from: source)
        delta.add(.api, EntryKey(tenant: "acme", id: "a"), from: source)
        #expect(delta == source.delta(from: before))
    }

    @Test func anythingWrongLeavesTheDocumentAsItWas() throws {
        var held: HashedDocument = HashedDocument(GatewayDocument(apis: [try Self.api("a")]), version: 3)
        let before: String = held.hash
        var delta: SnapshotDelta = SnapshotDelta(base: 2, version: 4, hash: before)
        #expect(throws: SnapshotError.wrongBase(expected: 3, found: 2)) { try held.receive(delta.serialized()) }
        delta.base = 3
        delta.hash = "00"
        #expect(throws: SnapshotError.wrongHash(expected: "00", found: before)) {
            try held.receive(delta.serialized())
        }
        for text in [
            "", "[]", "{}", #"{"version":1}"#, #"{"version":1,"hash":"x","apis":{}}"#,
            #"{"version":1,"hash":"x","apis":[{}]}"#,
        ] {
            #expect(throws: SnapshotError.self, "\(text)") { try held.receive(Array(text.utf8)) }
        }
        #expect(held.version == 3)
        #expect(held.hash == before)
    }

    @Test func anEntryOfALaterVersionIsNamedAndCounted() throws {
        let entry: String =
            #"{"id":"b","tenant":"acme","routes":[{"path":"/x"}],"upstream":{"targets":[{"url":"http://x"}]},"novel":1}"#
        var source: HashedDocument = HashedDocument(GatewayDocument(apis: [try Self.api("a")]), version: 1)
        try source.set(.api, sent: try DocumentReader.parse(entry))
        var held: HashedDocument = HashedDocument()
        try held.receive(source.serialized())
        #expect(held.document.apis.map(\.id) == ["a"])
        #expect(held.unreadable.map(\.key.text) == ["acme/b"])
        #expect(held.unreadable[0].problems[0].contains("novel"))
        #expect(held.hash == source.hash)
        // Stored and read again it is the same, and a readable version takes its place.
        var stored: HashedDocument = HashedDocument()
        try stored.receive(held.serialized())
        #expect(stored.hash == held.hash)
        stored.set(try Self.api("b"))
        #expect(stored.unreadable.isEmpty)
        #expect(stored.document.apis.map(\.id) == ["a", "b"])
    }

    /// White space, another order of members, escapes and numbers that are not canonical: the hash is that of what they say.
    @Test(arguments: [
        #"{"tenant":"acme","id":"p","rate_limit":{"window":"1s","limit":5}}"#,
        #"{"id": "p", "rate_limit": {"limit": 5, "window": "1s"}, "tenant": "acme"}"#,
        #"{"id":"\u0070","rate_limit":{"limit":5,"window":"1s"},"tenant":"acme"}"#,
    ])
    func anEntryIsHashedByWhatItSaysHoweverItIsWritten(entry: String) throws {
        let canonical: String = #"{"id":"p","rate_limit":{"limit":5,"window":"1s"},"tenant":"acme"}"#
        var source: HashedDocument = HashedDocument()
        try source.set(.plan, sent: try DocumentReader.parse(canonical))
        for text in [
            #"{"version":1,"hash":"\#(source.hash)","plans":[\#(entry)]}"#,
            #"{"base":0,"version":1,"hash":"\#(source.hash)","changed":{"plans":[\#(entry)]},"removed":{}}"#,
        ] {
            var held: HashedDocument = HashedDocument()
            try held.receive(Array(text.utf8))
            #expect(held.document == source.document)
            #expect(
                String(decoding: held.serialized(), as: UTF8.self)
                    == #"{"version":1,"hash":"\#(source.hash)","plans":[\#(canonical)]}"#)
        }
    }

    /// The canonical form rounds them; what is sent does not.
    @Test func largeNumbersArriveAsTheyAre() throws {
        var entry: JSONObject = try #require(try Self.api("a").json().object)
        entry["revision"] = 9_007_199_254_740_993
        var source: HashedDocument = HashedDocument()
        try source.put(.api, json: .object(entry))
        var held: HashedDocument = HashedDocument()
        try held.receive(source.serialized())
        #expect(held.document.apis.first?.revision == 9_007_199_254_740_993)
        #expect(held.hash == source.hash)
    }

    @Test func whatCannotBeReadLeavesWhatIsThere() throws {
        var document: HashedDocument = HashedDocument()
        try document.put(.api, json: try Self.api("a").json())
        let hash: String = document.hash
        #expect(throws: InvalidDocument.self) {
            try document.put(.api, json: ["id": "a", "tenant": "acme", "routes": []])
        }
        #expect(document.hash == hash)
    }

    /// The places that are found are just the entries.
    @Test func entriesAreFoundInATextAsItIsSent() throws {
        var document: HashedDocument = HashedDocument(
            GatewayDocument(
                apis: [try Self.api("a"), try Self.api("b", path: "/x,[\"]")],
                applications: [ApplicationDefinition(id: "x")]), version: 1)
        document.advance(to: 2)
        let text: [UInt8] = document.serialized(secrets: ["acme/key@1": "[{\"\\"])
        let texts: EntryTexts = try #require(EntryTexts(text))
        #expect(texts.changed.isEmpty)
        for (kind, count) in [(EntryKind.api, 2), (.application, 1)] {
            let entries: [JSONValue] = try JSONReader.parse(text)[kind.rawValue]?.elements ?? []
            let ranges: [Range<Int>] = try #require(texts.whole[kind])
            #expect(ranges.count == count)
            #expect(try ranges.map { try JSONReader.parse(Array(text[$0])) } == entries)
        }
        for other in [
            "", "{", "[]", "{\"a\":", "{\"apis\":[1", "{\"apis\":[1,]}", "{\"apis\":{}}", "{ }", "{\"a\":\"", "{\"a\"}",
        ] {
            #expect(EntryTexts(Array(other.utf8)) == nil, "\(other)")
        }
    }

    @Test func anEntryWrittenInAnotherFormKeepsItsHash() throws {
        let entry: String = #"{"id":"p","tenant":"acme","rate_limit":{"limit":5,"window":"1s"}}"#
        var source: HashedDocument = HashedDocument()
        try source.set(.plan, sent: try DocumentReader.parse(entry))
        #expect(source.document.plans[0].rateLimit?.window == .seconds(1))
        var held: HashedDocument = HashedDocument()
        try held.receive(source.serialized())
        #expect(held.hash == source.hash)
        #expect(held.document == source.document)
    }
}
