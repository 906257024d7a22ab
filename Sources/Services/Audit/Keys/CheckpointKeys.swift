import Bytes
import Contracts
import Crypto
import Store
import Time

/// The key that signs checkpoints: made at the first start, its private half sealed, kept for ever.
///
/// Its name is the origin of the log: `passerelle.local/audit/` and 16 random hexadecimal digits, so that no two installations
/// are taken for one another.
enum CheckpointKeys {
    static let sealName: String = "audit/checkpoint-key"

    /// The signer, from the store or new.
    static func signer(in store: Store, sealer: any SecretSealer) async throws -> NoteSigner {
        if let row: KeyRow = try await store.read({ (reader: Reader) -> KeyRow? in try Self.newest(in: reader) }) {
            return try Self.signer(row, sealer)
        }
        let name: String = "passerelle.local/audit/\(Hex.encode(Random.bytes(8)))"
        let key: PrivateKey = try PrivateKey.generate(.ed25519)
        let signer: NoteSigner = try NoteSigner(name: name, key: key)
        let sealed: [UInt8] = try sealer.seal(Array(try key.pem().utf8), name: Self.sealName)
        // Two processes may start at once: the first key stands.
        let row: KeyRow? = try await store.write { (transaction: Transaction) -> KeyRow? in
            if let earlier: KeyRow = try Self.newest(in: transaction) { return earlier }
            try transaction.execute(
                "INSERT INTO audit_keys (key_id, verifier, sealed, created_at) VALUES ($1, $2, $3, $4)",
                .text(signer.verifier.keyIDText), .text(signer.verifier.text), .bytes(sealed),
                .int(transaction.now.milliseconds))
            return nil
        }
        return try row.map { (row: KeyRow) throws -> NoteSigner in try Self.signer(row, sealer) } ?? signer
    }

    /// The public halves of all keys that ever signed.
    static func verifiers(in database: some Queryable) throws -> [NoteVerifier] {
        let texts: [String] = try database.rows("SELECT verifier FROM audit_keys ORDER BY created_at, key_id") {
            (row: Row) throws(StoreError) -> String in try row.text(0)
        }
        return try texts.map { (text: String) throws -> NoteVerifier in try NoteVerifier(parsing: text) }
    }

    private struct KeyRow: Sendable {
        let verifier: String
        let sealed: [UInt8]
    }

    private static func newest(in database: some Queryable) throws(StoreError) -> KeyRow? {
        try database.first("SELECT verifier, sealed FROM audit_keys ORDER BY created_at DESC, key_id LIMIT 1") {
            (row: Row) throws(StoreError) -> KeyRow in KeyRow(verifier: try row.text(0), sealed: try row.bytes(1))
        }
    }

    private static func signer(_ row: KeyRow, _ sealer: any SecretSealer) throws -> NoteSigner {
        let verifier: NoteVerifier = try NoteVerifier(parsing: row.verifier)
        let pem: [UInt8] = try sealer.open(row.sealed, name: Self.sealName)
        return try NoteSigner(name: verifier.name, key: PrivateKey(pem: String(decoding: pem, as: UTF8.self)))
    }
}
