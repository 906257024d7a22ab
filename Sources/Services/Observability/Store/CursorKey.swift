import Contracts
import Crypto
import Store

/// The key that seals readers' positions: made at the first start, sealed, so that cursors outlive a restart.
enum CursorKey {
    private static let name: String = "observability/cursor-key"

    static func load(from store: Store, sealer: any SecretSealer) async throws -> [UInt8] {
        let fresh: [UInt8] = AESGCM.makeKey()
        let sealed: [UInt8] = try sealer.seal(fresh, name: Self.name)
        let stored: [UInt8]? = try await store.read { try Self.stored(in: $0) }
        if let stored: [UInt8] { return try sealer.open(stored, name: Self.name) }
        // Two processes may start at once: the first key stands.
        let kept: [UInt8]? = try await store.write { transaction in
            try transaction.execute(
                "INSERT INTO observability_keys (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
                .text(Self.name), .bytes(sealed))
            return try Self.stored(in: transaction)
        }
        return try sealer.open(kept ?? sealed, name: Self.name)
    }

    private static func stored(in database: some Queryable) throws(StoreError) -> [UInt8]? {
        try database.first("SELECT sealed FROM observability_keys WHERE name = $1", .text(Self.name)) {
            (row: Row) throws(StoreError) -> [UInt8] in try row.bytes(0)
        }
    }
}
