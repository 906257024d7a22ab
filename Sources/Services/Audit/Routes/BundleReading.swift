import Bytes
import Contracts
import HTTP
import REST
import Store
import Synchronization
import Time

/// Entry bundles of C2SP tlog-tiles, `tile/entries/<N>[.p/<W>]`: the entries of a tile of level 0, each with two bytes of length before it.
extension AuditService {
    /// The longest entry that two bytes can tell of.
    static let bundledBytesMax: Int = 65_535

    func getBundle(_ context: RequestContext, _ text: String) async throws -> HTTPResponse {
        guard let path: TilePath = TilePath(parsing: "0/\(text)") else {
            throw APIProblem.notFound("entry bundle", text)
        }
        let first: Int64 = path.tile.index * Int64(TileCoordinate.widthMax)
        let leaves: Range<Int64> = first..<(first + Int64(path.width))
        let size: Int64 = try await context.read { try TreeTables.head(in: $0).size }
        guard leaves.upperBound <= size else { throw APIProblem.notFound("entry bundle", text) }
        if self.bundleReaders.begins(context.caller.id, now: self.services.clock.monotonic()) {
            try await self.auditRead(context, what: "bundles")
        }
        let entries: [Int64: [UInt8]] = try await self.entries(leaves)
        var bundle: ByteWriter = ByteWriter()
        for leaf in leaves {
            guard let entry: [UInt8] = entries[leaf] else {
                throw APIProblem(.notFound, "Retention removed entry \(leaf); its hash is in tile 0/\(text).")
            }
            guard entry.count <= Self.bundledBytesMax else {
                throw APIProblem(
                    .notFound,
                    "Entry \(leaf) has \(entry.count) bytes, a bundle takes \(Self.bundledBytesMax): GET /v1/audit/export has it."
                )
            }
            bundle.appendUInt16(UInt16(entry.count))
            bundle.append(entry)
        }
        return Self.tile(bundle.bytes)
    }

    /// Bytes that never change.
    static func tile(_ bytes: [UInt8]) -> HTTPResponse {
        HTTPResponse(
            status: 200,
            fields: [
                "content-type": "application/octet-stream", "cache-control": "private, max-age=31536000, immutable",
                "x-content-type-options": "nosniff",
            ], body: .bytes(bytes))
    }
}

/// Who reads bundles: a reading of many is one entry, as one of many pages is.
final class BundleReaders: Sendable {
    /// After so long without an entry the next bundle is another reading.
    private static let window: UInt64 = 600_000_000_000
    /// Readers remembered at most; when full, all are forgotten, which costs an entry each.
    private static let countMax: Int = 1_000

    private let began: Mutex<[String: UInt64]> = Mutex([:])

    /// Whether a reading begins: then it is to be recorded.
    func begins(_ caller: String, now: UInt64) -> Bool {
        self.began.withLock { began in
            if let time: UInt64 = began[caller], now &- time < Self.window { return false }
            if began.count >= Self.countMax { began.removeAll() }
            began[caller] = now
            return true
        }
    }
}
