import Bytes
import Crypto
package import Store
import Time

/// What is sealed, byte by byte:
///
/// ```
/// format (1 byte: 2) + version of the data key (4, big-endian) + nonce (12) + ciphertext + tag (16)
/// associated data = "passerelle 2" + tenant + name of the key + name of the value, each with its length (4) before it
/// format (1 byte: 1) + nonce (12) + ciphertext + tag (16): sealed with the master key itself, before there were levels
/// ```
/// Valid only whole, under the same tenant and names, and while the version of its key exists.
extension KeyRing {
    static let format: UInt8 = 2
    static let legacyFormat: UInt8 = 1
    /// Bytes before the nonce: what tells which key a value needs.
    static let headBytes: Int = 5

    // MARK: The platform's own

    /// Encrypts so that only this ring opens it, and only under the same name.
    package func seal(_ secret: [UInt8], name: String) throws -> [UInt8] {
        guard let key = try self.opened().platformKey(at: self.clock.now()) else {
            throw KeyRingError.sealed(reason: "it has no key yet")
        }
        return try Self.seal(secret, name: name, place: KeyPlace(), version: key.version, key: key.key)
    }

    /// - Throws: `KeyRingError.cannotOpen` when a bit of it or the name differs, or its key is no more.
    package func open(_ sealed: [UInt8], name: String) throws -> [UInt8] {
        let keys: OpenKeys = try self.opened()
        if sealed.first == Self.legacyFormat { return try Self.openLegacy(sealed, name: name, key: keys.legacy) }
        guard let version: Int64 = Self.version(of: sealed),
            let key: SecretBytes = keys.platform.first(where: { $0.version == version })?.key
        else { throw KeyRingError.cannotOpen(name: name) }
        return try Self.open(sealed, name: name, place: KeyPlace(), key: key)
    }

    // MARK: Of tenants, and with keys of their own

    /// Encrypts with a tenant's data key, or with the key of that name, which is made where it is missing.
    ///
    /// - Parameters:
    ///   - name: what the value is: it opens under no other.
    ///   - key: '' is the tenant's data key; any other can be destroyed by itself, with all that it sealed.
    package func seal(
        _ secret: [UInt8], name: String, tenant: String, key: String = "", in transaction: Transaction
    ) throws -> [UInt8] {
        let place: KeyPlace = KeyPlace(tenant: tenant, name: key)
        let found = try self.sealingKey(place, in: transaction)
        return try Self.seal(secret, name: name, place: place, version: found.version, key: found.key)
    }

    /// What was sealed; nil when its key was destroyed. - Throws: `KeyRingError.cannotOpen` when something else differs.
    package func open(
        _ sealed: [UInt8], name: String, tenant: String, key: String = "", in store: any Queryable
    ) throws -> [UInt8]? {
        let keys: OpenKeys = try self.opened()
        let place: KeyPlace = KeyPlace(tenant: tenant, name: key)
        if sealed.first == Self.legacyFormat, place == KeyPlace() {
            return try Self.openLegacy(sealed, name: name, key: keys.legacy)
        }
        guard let version: Int64 = Self.version(of: sealed) else { throw KeyRingError.cannotOpen(name: name) }
        guard
            let row: DataKeyRow = try DataKeyTable.find(
                version, name: place.name, tenant: place.tenant, in: store)
        else { return nil }
        return try Self.open(sealed, name: name, place: place, key: try Self.unwrap(row, keys))
    }

    /// Destroys a key with a name: what it sealed never opens again, here and in no later backup.
    ///
    /// - Returns: whether there was one.
    package func destroyKey(_ key: String, tenant: String, in transaction: Transaction) throws -> Bool {
        precondition(!key.isEmpty, "a tenant's data key is not destroyed by name")
        return try DataKeyTable.delete(name: key, tenant: tenant, in: transaction) > 0
    }

    /// Whether there is a key of that name.
    package func hasKey(_ key: String, tenant: String, in store: any Queryable) throws -> Bool {
        try DataKeyTable.newest(name: key, tenant: tenant, in: store) != nil
    }

    /// Destroys every key of a tenant: what is left of it anywhere never opens again.
    package func destroyKeys(ofTenant tenant: String, in transaction: Transaction) throws {
        precondition(!tenant.isEmpty, "the platform's keys are not destroyed")
        try transaction.execute("DELETE FROM data_keys WHERE tenant = $1", .text(tenant))
    }

    // MARK: Keys

    /// The key that seals now, made where there is none.
    func sealingKey(_ place: KeyPlace, in transaction: Transaction) throws -> (version: Int64, key: SecretBytes) {
        let keys: OpenKeys = try self.opened()
        if place == KeyPlace(), let key = keys.platformKey(at: transaction.now) { return key }
        if let row: DataKeyRow = try DataKeyTable.newest(name: place.name, tenant: place.tenant, in: transaction) {
            return (row.version, try Self.unwrap(row, keys))
        }
        return try self.makeDataKey(place, version: Self.firstVersion(place), keys, in: transaction)
    }

    /// A key with a name begins anywhere: what a destroyed one of that name sealed must not be taken for its own.
    private static func firstVersion(_ place: KeyPlace) -> Int64 {
        if place.name.isEmpty { return 1 }
        var number: Int64 = 0
        for byte in Random.bytes(4) { number = number << 8 | Int64(byte) }
        return max(1, number & 0x7fff_ffff)
    }

    @discardableResult
    func makeDataKey(
        _ place: KeyPlace, version: Int64, _ keys: OpenKeys, activeAt: Timestamp? = nil, in transaction: Transaction
    ) throws -> (version: Int64, key: SecretBytes) {
        guard let wrapping = keys.active(at: transaction.now) else {
            throw KeyRingError.sealed(reason: "it has no key yet")
        }
        let key: SecretBytes = .random(AESGCM.keyLength)
        let wrapped: [UInt8] = try Self.wrap(key, place, version: version, with: wrapping)
        try DataKeyTable.insert(
            tenant: place.tenant, name: place.name, version: version, keyID: wrapping.id, wrapped: wrapped,
            activeAt: activeAt ?? transaction.now, in: transaction)
        return (version, key)
    }

    static func wrap(
        _ key: SecretBytes, _ place: KeyPlace, version: Int64, with wrapping: (id: String, key: SecretBytes)
    ) throws -> [UInt8] {
        let data: [UInt8] = Self.wrapData(place, version: version, keyID: wrapping.id)
        return try key.reveal { key in
            try wrapping.key.reveal { try AESGCM.seal(key, key: $0, associatedData: data) }
        }
    }

    static func unwrap(_ row: DataKeyRow, _ keys: OpenKeys) throws -> SecretBytes {
        let place: KeyPlace = KeyPlace(tenant: row.tenant, name: row.name)
        guard let wrapping: SecretBytes = keys.encrypting[row.keyID] else {
            throw KeyRingError.cannotOpen(name: "data key \(row.tenant)/\(row.name)")
        }
        do {
            let data: [UInt8] = Self.wrapData(place, version: row.version, keyID: row.keyID)
            var key: [UInt8] = try wrapping.reveal { try AESGCM.open(row.wrapped, key: $0, associatedData: data) }
            return SecretBytes(wiping: &key)
        } catch {
            throw KeyRingError.cannotOpen(name: "data key \(row.tenant)/\(row.name)")
        }
    }

    // MARK: Bytes

    private static func wrapData(_ place: KeyPlace, version: Int64, keyID: String) -> [UInt8] {
        Self.associatedData("passerelle data key", [place.tenant, place.name, "\(version)", keyID])
    }

    private static func associatedData(_ label: String, _ parts: [String]) -> [UInt8] {
        var writer: ByteWriter = ByteWriter()
        writer.append(utf8: label)
        for part in parts {
            writer.appendUInt32(UInt32(part.utf8.count))
            writer.append(utf8: part)
        }
        return writer.bytes
    }

    /// What every value under that version begins with.
    package static func head(version: Int64) -> [UInt8] {
        var writer: ByteWriter = ByteWriter()
        writer.appendUInt8(Self.format)
        writer.appendUInt32(UInt32(truncatingIfNeeded: version))
        return writer.bytes
    }

    /// The version of the key a value needs; nil when it is none of this format.
    package static func version(of sealed: [UInt8]) -> Int64? {
        guard sealed.count > Self.headBytes, sealed[0] == Self.format else { return nil }
        var version: Int64 = 0
        for byte in sealed[1..<Self.headBytes] { version = version << 8 | Int64(byte) }
        return version
    }

    static func seal(
        _ secret: [UInt8], name: String, place: KeyPlace, version: Int64, key: SecretBytes
    ) throws -> [UInt8] {
        let data: [UInt8] = Self.associatedData("passerelle 2", [place.tenant, place.name, name])
        return Self.head(version: version)
            + (try key.reveal { try AESGCM.seal(secret, key: $0, associatedData: data) })
    }

    static func open(_ sealed: [UInt8], name: String, place: KeyPlace, key: SecretBytes) throws -> [UInt8] {
        do {
            let data: [UInt8] = Self.associatedData("passerelle 2", [place.tenant, place.name, name])
            return try key.reveal {
                try AESGCM.open(Array(sealed.dropFirst(Self.headBytes)), key: $0, associatedData: data)
            }
        } catch {
            throw KeyRingError.cannotOpen(name: name)
        }
    }

    static func openLegacy(_ sealed: [UInt8], name: String, key: SecretBytes?) throws -> [UInt8] {
        let data: [UInt8] = Array("passerelle\u{0}\(name)".utf8)
        guard let key: SecretBytes,
            let secret: [UInt8] = try? key.reveal({
                try AESGCM.open(Array(sealed.dropFirst()), key: $0, associatedData: data)
            })
        else { throw KeyRingError.cannotOpen(name: name) }
        return secret
    }
}

/// Whose key, and which: the tenant '' is the platform, the name '' the data key.
struct KeyPlace: Sendable, Hashable {
    var tenant: String = ""
    var name: String = ""
}
