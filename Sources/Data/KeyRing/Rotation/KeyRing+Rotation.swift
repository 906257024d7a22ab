import Crypto
package import Store
import Synchronization
import Time

/// Rotation of each level while everything runs.
///
/// | level | what changes at once | what follows in the background |
/// | --- | --- | --- |
/// | master | the next master key wraps the key-encrypting keys, in one transaction | nothing |
/// | key-encrypting | a new one wraps what is made from then on | every data key is wrapped anew |
/// | data | a new one seals from then on | every value is sealed anew |
///
/// What follows is told by the database itself (what the newest key did not wrap or seal), so a process that was killed goes on
/// where it was, and two that work at once do the same thing twice at worst.
extension KeyRing {
    // MARK: At once

    /// Wraps the key-encrypting keys with the next master key. - Returns: its id.
    /// - Parameter also: what commits with it.
    package func rotateMaster(
        _ also: @escaping @Sendable (Transaction, String) throws -> Void = { _, _ in }
    ) async throws -> String {
        let isFirst: Bool = self.isRotatingMaster.withLock { isRotating in
            defer { isRotating = true }
            return !isRotating
        }
        guard isFirst else {
            throw KeyRingError.masterAway(reason: "another rotation of it is under way; repeat this one later")
        }
        defer { self.isRotatingMaster.withLock { $0 = false } }
        let keys: OpenKeys = try self.opened()
        let next: any MasterKey = try await keys.master.next()
        let rows: [WrappedKey] = try await self.store.read { try WrappedKeyTable.all(in: $0) }
        var wrapped: [(row: WrappedKey, wrapped: [UInt8])] = []
        for row in rows {
            let name: String = WrappedKey.wrapName(row.id)
            var unwrapped: [UInt8] = try await keys.master.unwrap(row.wrapped, name: name)
            let key: SecretBytes = SecretBytes(wiping: &unwrapped)
            wrapped.append((row, try await key.reveal { try await next.wrap($0, name: name) }))
        }
        let id: String = next.id
        let changes: [(row: WrappedKey, wrapped: [UInt8])] = wrapped
        try await self.store.write { transaction in
            // A key another process made meanwhile would be wrapped by a master key that goes: the next try takes it along.
            guard try WrappedKeyTable.all(in: transaction).map(\.wrapped) == changes.map(\.row.wrapped) else {
                throw KeyRingError.masterAway(reason: "keys changed while the master key rotated; repeat it")
            }
            for change in changes {
                try WrappedKeyTable.rewrap(change.row, master: id, wrapped: change.wrapped, in: transaction)
            }
            try also(transaction, id)
        }
        try await next.settle()
        try await self.unseal()
        return id
    }

    /// Makes the next key-encrypting key. - Returns: its id.
    package func rotateEncryptingKey(
        _ also: @escaping @Sendable (Transaction, String) throws -> Void = { _, _ in }
    ) async throws -> String {
        let keys: OpenKeys = try self.opened()
        let now: Timestamp = self.clock.now()
        let made: WrappedKey = try await Unsealing.wrapped(
            .random(AESGCM.keyLength), .encrypting, keys.master, now: now,
            activeAt: now.adding(self.configuration.overlap))
        try await self.store.write { transaction in
            try WrappedKeyTable.insert(made, in: transaction)
            try WrappedKeyTable.retireAllBut(made.id, in: transaction)
            try also(transaction, made.id)
        }
        try await self.refresh()
        return made.id
    }

    /// Makes the next data key of a tenant, or with '' of the platform. - Returns: its version.
    package func rotateDataKey(
        tenant: String, _ also: @escaping @Sendable (Transaction, Int64) throws -> Void = { _, _ in }
    ) async throws -> Int64 {
        let keys: OpenKeys = try self.opened()
        let overlap: Duration = tenant.isEmpty ? self.configuration.overlap : .zero
        let place: KeyPlace = KeyPlace(tenant: tenant)
        let version: Int64 = try await self.store.write { transaction in
            let newest: Int64 =
                try DataKeyTable.newest(name: "", tenant: tenant, in: transaction)?.version ?? 0
            try self.makeDataKey(
                place, version: newest + 1, keys, activeAt: transaction.now.adding(overlap), in: transaction)
            try also(transaction, newest + 1)
            return newest + 1
        }
        if tenant.isEmpty { try await self.refresh() }
        return version
    }

    /// The tenants that have a data key, the platform ('') first.
    package func tenantsWithKeys() async throws -> [String] {
        try await self.store.read { reader in
            try reader.rows("SELECT DISTINCT tenant FROM data_keys WHERE name = '' ORDER BY tenant") { try $0.text(0) }
        }
    }

    // MARK: In the background

    /// Data keys wrapped anew, or values sealed anew, in one transaction.
    private static let batch: Int = 64

    /// What is still under older keys.
    package func backlog(_ columns: [SealedColumn]) async throws -> KeyBacklog {
        let keys: OpenKeys = try self.opened()
        let now: Timestamp = self.clock.now()
        return try await self.store.read { reader in
            var backlog: KeyBacklog = KeyBacklog()
            if let active = keys.active(at: now) {
                backlog.keys = try DataKeyTable.count("key_id <> $1", .text(active.id), in: reader)
            }
            for rows in try Self.stale(columns, keys, now: now, in: reader) { backlog.values += Int64(rows.rows.count) }
            return backlog
        }
    }

    /// Brings everything under the newest keys, a batch at a time. What does not open stays as it is, and counts.
    ///
    /// - Parameter progress: told what is done, of how much, after each batch.
    /// - Returns: how many values did not open.
    @discardableResult
    package func renew(
        _ columns: [SealedColumn], progress: (_ done: Int64, _ of: Int64) async throws -> Void = { _, _ in }
    ) async throws -> Int64 {
        let total: Int64 = try await self.backlog(columns).count
        var done: Int64 = 0
        try await progress(done, total)
        while true {
            let wrapped: Int = try await self.rewrapSome()
            if wrapped == 0 { break }
            done += Int64(wrapped)
            try await progress(done, max(total, done))
        }
        let keys: OpenKeys = try self.opened()
        let now: Timestamp = self.clock.now()
        let stale: [StaleRows] = try await self.store.read { try Self.stale(columns, keys, now: now, in: $0) }
        var unopened: Int64 = 0
        for part in stale {
            var next: Int = 0
            while next < part.rows.count {
                let chunk: [[String]] = Array(part.rows[next..<min(next + Self.batch, part.rows.count)])
                unopened += try await self.store.write { transaction in
                    try self.reseal(chunk, of: part, in: transaction)
                }
                next += chunk.count
                done += Int64(chunk.count)
                try await progress(done, max(total, done))
            }
        }
        return unopened
    }

    private func rewrapSome() async throws -> Int {
        try await self.store.write { transaction in
            let keys: OpenKeys = try self.opened()
            guard let active = keys.active(at: transaction.now) else { return 0 }
            let rows: [DataKeyRow] = try DataKeyTable.notWrapped(by: active.id, limit: Self.batch, in: transaction)
            for row in rows {
                let key: SecretBytes = try Self.unwrap(row, keys)
                let place: KeyPlace = KeyPlace(tenant: row.tenant, name: row.name)
                try DataKeyTable.rewrap(
                    row, keyID: active.id, wrapped: try Self.wrap(key, place, version: row.version, with: active),
                    in: transaction)
            }
            return rows.count
        }
    }

    private struct StaleRows: Sendable {
        let column: SealedColumn
        let tenant: String
        let rows: [[String]]
    }

    private static func stale(
        _ columns: [SealedColumn], _ keys: OpenKeys, now: Timestamp, in store: any Queryable
    ) throws -> [StaleRows] {
        var found: [StaleRows] = []
        // Only where an older key is: else there is nothing to look for.
        var newest: [(tenant: String, version: Int64)] = try store.rows(
            """
            SELECT tenant, max(version) FROM data_keys WHERE name = '' AND tenant <> '' GROUP BY tenant
            HAVING count(*) > 1 ORDER BY tenant
            """
        ) { (try $0.text(0), try $0.int(1)) }
        if keys.platform.count > 1 || keys.legacy != nil, let key = keys.platformKey(at: now) {
            newest.append(("", key.version))
        }
        for (tenant, version) in newest {
            for column in columns {
                let rows: [[String]] = try column.stale(tenant: tenant, head: Self.head(version: version), in: store)
                if !rows.isEmpty { found.append(StaleRows(column: column, tenant: tenant, rows: rows)) }
            }
        }
        return found
    }

    /// - Returns: how many did not open.
    private func reseal(_ rows: [[String]], of part: StaleRows, in transaction: Transaction) throws -> Int64 {
        var unopened: Int64 = 0
        for row in rows {
            guard let sealed: [UInt8] = try part.column.value(row, in: transaction) else { continue }
            let name: String = part.column.name(row)
            let secret: [UInt8]?
            do {
                secret = try self.open(sealed, name: name, tenant: part.tenant, in: transaction)
            } catch KeyRingError.cannotOpen {
                secret = nil
            }
            guard let secret: [UInt8] else {
                unopened += 1
                continue
            }
            let resealed: [UInt8] = try self.seal(secret, name: name, tenant: part.tenant, in: transaction)
            try part.column.set(resealed, of: row, in: transaction)
        }
        return unopened
    }

    /// Destroys keys that nothing needs any more and that were retired long enough ago.
    ///
    /// - Returns: what they were, for the log: `kek_…`, `tenant/version`, `legacy`.
    @discardableResult
    package func destroyUnneeded(_ columns: [SealedColumn]) async throws -> [String] {
        let keptFor: Duration = self.configuration.keptFor
        let destroyed: [String] = try await self.store.write { transaction in
            let before: Int64 = transaction.now.adding(.zero - keptFor).milliseconds
            return try Self.destroyDataKeys(columns, retiredBefore: before, in: transaction)
                + Self.destroyWrappingKeys(columns, retiredBefore: before, in: transaction)
        }
        if !destroyed.isEmpty { try await self.refresh() }
        return destroyed
    }

    private static func destroyDataKeys(
        _ columns: [SealedColumn], retiredBefore: Int64, in transaction: Transaction
    ) throws -> [String] {
        let retired: [(tenant: String, version: Int64)] = try transaction.rows(
            "SELECT tenant, version FROM data_keys WHERE name = '' AND retired_at <= $1 ORDER BY tenant, version",
            .int(retiredBefore)
        ) { (try $0.text(0), try $0.int(1)) }
        var destroyed: [String] = []
        for (tenant, version) in retired {
            var count: Int64 = 0
            for column in columns {
                count += try column.count(tenant: tenant, head: Self.head(version: version), in: transaction)
            }
            guard count == 0 else { continue }
            try transaction.execute(
                "DELETE FROM data_keys WHERE tenant = $1 AND name = '' AND version = $2", .text(tenant), .int(version))
            destroyed.append("\(tenant)/\(version)")
        }
        return destroyed
    }

    private static func destroyWrappingKeys(
        _ columns: [SealedColumn], retiredBefore: Int64, in transaction: Transaction
    ) throws -> [String] {
        var destroyed: [String] = try transaction.rows(
            """
            DELETE FROM key_encrypting_keys WHERE purpose = 'encrypting' AND retired_at <= $1
                AND key_id NOT IN (SELECT key_id FROM data_keys) RETURNING key_id
            """, .int(retiredBefore)
        ) { try $0.text(0) }
        var legacy: Int64 = 0
        for column in columns {
            legacy += try column.count(tenant: "", head: [Self.legacyFormat], in: transaction)
        }
        if legacy == 0,
            try transaction.execute(
                "DELETE FROM key_encrypting_keys WHERE purpose = 'legacy' AND created_at <= $1", .int(retiredBefore))
                > 0
        {
            destroyed.append("legacy")
        }
        return destroyed
    }
}

/// What is still under older keys than the newest.
package struct KeyBacklog: Sendable, Equatable {
    /// Data keys that an older key-encrypting key wraps.
    package var keys: Int64
    /// Values that an older data key seals.
    package var values: Int64

    package var count: Int64 { self.keys + self.values }

    package init(keys: Int64 = 0, values: Int64 = 0) {
        self.keys = keys
        self.values = values
    }
}
