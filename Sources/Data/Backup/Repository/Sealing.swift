import Crypto

/// AES-256-GCM, bound to what the message is.
enum Sealing {
    static let overhead: Int = AESGCM.nonceLength + AESGCM.tagLength

    static func seal(_ bytes: [UInt8], key: [UInt8], boundTo name: String) throws(CryptoError) -> [UInt8] {
        try AESGCM.seal(bytes, key: key, associatedData: Self.data(name))
    }

    /// nil when a bit of it, its name or its key differs.
    static func open(_ sealed: [UInt8], key: [UInt8], boundTo name: String) -> [UInt8]? {
        try? AESGCM.open(sealed, key: key, associatedData: Self.data(name))
    }

    private static func data(_ name: String) -> [UInt8] { Array("passerelle-backup \(name)".utf8) }

    /// What a piece is bound to: its pack and its place there.
    static func piece(pack: String, offset: UInt64) -> String { "piece \(pack) \(offset)" }
}
