import GatewayConfiguration
import JSON
import Testing

@testable import Deployments

struct GroupDocumentTests {
    /// SplitMix64: the same numbers for the same seed everywhere.
    private struct SeededNumbers: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            self.state &+= 0x9E37_79B9_7F4A_7C15
            var mixed: UInt64 = self.state
            mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            return mixed ^ (mixed >> 31)
        }
    }

    private static func entry(_ kind: EntryKind, _ id: String, _ number: Int) throws -> ReadEntry {
        try ReadEntry(kind, json: Self.json(kind, id, number))
    }

    private static func json(_ kind: EntryKind, _ id: String, _ number: Int) -> JSONValue {
        switch kind {
        case .api:
            return [
                "id": .string(id), "tenant": "acme", "routes": [["path": .string("/\(id)/\(number)")]],
                "upstream": ["targets": [["url": "http://127.0.0.1:9700"]]],
            ]
        case .application:
            return [
                "id": .string(id), "tenant": "acme",
                "keys": [["sha256": .string(String(repeating: "\(number % 10)", count: 64))]],
            ]
        case .plan:
            return [
                "id": .string(id), "tenant": "acme",
                "rate_limit": ["limit": .int(Int64(number + 1)), "window": "1s"],
            ]
        case .tenant:
            return [
                "id": .string(id), "tenant": .string(id),
                "quota": ["limit": .int(Int64(number + 1)), "window": "month"],
            ]
        }
    }

    /// One random change of a small world, so that the same entries come and go often.
    private static func change(
        _ document: inout GroupDocument, version: Int64, _ numbers: inout SeededNumbers
    ) throws {
        let kind: EntryKind = EntryKind.allCases.randomElement(using: &numbers) ?? .api
        let id: String = "e\(Int.random(in: 0..<6, using: &numbers))"
        let isRemoval: Bool = Int.random(in: 0..<3, using: &numbers) == 0
        let entry: ReadEntry? = isRemoval ? nil : try Self.entry(kind, id, Int.random(in: 0..<4, using: &numbers))
        let key: EntryKey = EntryKey(tenant: kind == .tenant ? id : "acme", id: id)
        document.set(kind, key, entry, version: version)
    }

    /// Whatever changed since: the change leads exactly to the whole, also over the wire.
    @Test(arguments: [1, 2, 3, 5, 8, 13, 21, 34] as [UInt64])
    func aDeltaLeadsToTheWholeDocument(seed: UInt64) throws {
        var numbers: SeededNumbers = SeededNumbers(state: seed)
        var document: GroupDocument = GroupDocument(version: 0)
        var past: [HashedDocument] = []
        var version: Int64 = 0
        for round in 0..<120 {
            for _ in 0..<Int.random(in: 1...4, using: &numbers) {
                version += 1
                try Self.change(&document, version: version, &numbers)
            }
            document.advance(to: version)
            if round == 60 { document.forgetPast() }
            for base in past {
                guard let delta: SnapshotDelta = document.delta(since: base.version) else {
                    #expect(round >= 60, "seed \(seed): the past is known until it is forgotten")
                    continue
                }
                var gateway: HashedDocument = base
                try gateway.receive(delta.serialized())
                try #require(gateway.hash == document.document.hash, "seed \(seed), from \(base.version) to \(version)")
                try #require(gateway.document == document.document.document, "seed \(seed)")
                #expect(gateway.version == document.version)
            }
            // What was forgotten stays forgotten; what came after is known.
            past = past.filter { _ in Int.random(in: 0..<12, using: &numbers) > 0 }
            past.append(document.document)
            var whole: HashedDocument = HashedDocument()
            try whole.receive(document.document.serialized())
            try #require(whole.document == document.document.document, "seed \(seed)")
        }
        #expect(past.contains { document.delta(since: $0.version) != nil })
    }

    @Test func aGatewayTooFarBehindGetsTheWholeDocument() throws {
        var document: GroupDocument = GroupDocument(version: 0)
        let key: EntryKey = EntryKey(tenant: "acme", id: "p")
        for number in 1...(GroupDocument.historyMax + 10) {
            document.set(.plan, key, try Self.entry(.plan, "p", number), version: Int64(number))
            document.advance(to: Int64(number))
        }
        #expect(document.delta(since: 1) == nil)
        let recent: Int64 = document.version - 5
        #expect(document.delta(since: recent)?.changed[.plan]?.count == 1)
        #expect(document.delta(since: 0) == nil, "from nothing there is no change")
        #expect(document.delta(since: document.version + 1) == nil, "from another history neither")
        #expect(document.delta(since: document.version)?.changed.isEmpty == true)
    }
}
