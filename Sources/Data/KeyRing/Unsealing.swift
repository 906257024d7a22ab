import Crypto
import Store
import Time

/// Opens the key ring: finds the master key that the database needs, unwraps what it wraps, and brings all of it under one.
struct Unsealing {
    let ring: KeyRing

    /// What master keys there are to try.
    private struct Masters {
        let present: any MasterKey
        /// The other ones keys may still be wrapped with.
        var others: [any MasterKey] = []
        /// The master key of the time before there were levels, where the data may hold values of then.
        var legacy: SecretBytes?

        func find(_ id: String) -> (any MasterKey)? {
            if self.present.id == id { return self.present }
            return self.others.first { $0.id == id }
        }
    }

    func run() async throws -> KeyRing.OpenKeys {
        var masters: Masters = try await self.masters()
        var rows: [WrappedKey] = try await self.ring.store.read { try WrappedKeyTable.all(in: $0) }
        if rows.isEmpty { rows = try await self.makeFirst(masters) }
        // A rotation of the master key file that was killed after the database had changed over.
        if let next = masters.others.first(where: { next in rows.allSatisfy { $0.master == next.id } }),
            Self.follows(next, masters.present)
        {
            masters = Masters(present: next, others: [masters.present])
        }
        var keys: [String: SecretBytes] = [:]
        var moved: [(row: WrappedKey, wrapped: [UInt8])] = []
        for row in rows {
            guard let master = masters.find(row.master) else {
                throw KeyRingError.otherMaster(needed: row.master, found: masters.present.id)
            }
            let name: String = WrappedKey.wrapName(row.id)
            var unwrapped: [UInt8] = try await master.unwrap(row.wrapped, name: name)
            let key: SecretBytes = SecretBytes(wiping: &unwrapped)
            keys[row.id] = key
            if master.id != masters.present.id {
                let present: any MasterKey = masters.present
                moved.append((row, try await key.reveal { try await present.wrap($0, name: name) }))
            }
        }
        let present: any MasterKey = masters.present
        try await self.store(moved, under: present)
        try await present.settle()
        return try await self.ring.store.read { [rows, keys] in try Self.keys(rows, keys, present, in: $0) }
    }

    /// Keys known already stay; only new ones are unwrapped.
    func refreshed(_ known: KeyRing.OpenKeys) async throws -> KeyRing.OpenKeys {
        let rows: [WrappedKey] = try await self.ring.store.read { try WrappedKeyTable.all(in: $0) }
        var keys: [String: SecretBytes] = [:]
        for row in rows {
            if let key: SecretBytes = known.encrypting[row.id] ?? (row.purpose == .legacy ? known.legacy : nil) {
                keys[row.id] = key
            } else {
                var key: [UInt8] = try await known.master.unwrap(row.wrapped, name: WrappedKey.wrapName(row.id))
                keys[row.id] = SecretBytes(wiping: &key)
            }
        }
        return try await self.ring.store.read { [keys] in try Self.keys(rows, keys, known.master, in: $0) }
    }

    // MARK: Parts

    private func masters() async throws -> Masters {
        let configuration: KeyRingConfiguration = self.ring.configuration
        let present: LoadedMaster = try await configuration.master.load()
        var masters: Masters = Masters(present: present.key, others: present.next.map { [$0] } ?? [])
        masters.legacy = present.legacy
        if let old: MasterKeyLocation = configuration.old {
            let loaded: LoadedMaster = try await old.load()
            masters.others.append(loaded.key)
            masters.legacy = masters.legacy ?? loaded.legacy
        }
        return masters
    }

    /// Whether it is the next key of the same file, and not one that is being moved away from.
    private static func follows(_ next: any MasterKey, _ present: any MasterKey) -> Bool {
        guard let next = next as? LocalMasterKey, let present = present as? LocalMasterKey,
            case .file(let one) = next.source, case .file(let other) = present.source
        else { return false }
        return one.path == other.path
    }

    /// The first keys of a database. Several processes may start at once: one set stands, and all get that.
    private func makeFirst(_ masters: Masters) async throws -> [WrappedKey] {
        let now: Timestamp = self.ring.clock.now()
        var made: [WrappedKey] = []
        let key: SecretBytes = .random(AESGCM.keyLength)
        made.append(try await Self.wrapped(key, .encrypting, masters.present, now: now, activeAt: now))
        if let legacy: SecretBytes = masters.legacy {
            made.append(try await Self.wrapped(legacy, .legacy, masters.present, now: now, activeAt: now))
        }
        let wrapping: (id: String, key: SecretBytes) = (made[0].id, key)
        return try await self.ring.store.write { [made] transaction in
            let earlier: [WrappedKey] = try WrappedKeyTable.all(in: transaction)
            guard earlier.isEmpty else { return earlier }
            for key in made { try WrappedKeyTable.insert(key, in: transaction) }
            let place: KeyPlace = KeyPlace()
            try DataKeyTable.insert(
                tenant: place.tenant, name: place.name, version: 1, keyID: wrapping.id,
                wrapped: try KeyRing.wrap(.random(AESGCM.keyLength), place, version: 1, with: wrapping), activeAt: now,
                in: transaction)
            return made
        }
    }

    static func wrapped(
        _ key: SecretBytes, _ purpose: WrappedKey.Purpose, _ master: any MasterKey, now: Timestamp, activeAt: Timestamp
    ) async throws -> WrappedKey {
        let id: String = Random.token(prefix: "kek_", bytes: 12)
        return WrappedKey(
            id: id, purpose: purpose, master: master.id,
            wrapped: try await key.reveal { try await master.wrap($0, name: WrappedKey.wrapName(id)) }, createdAt: now,
            activeAt: activeAt)
    }

    private func store(_ moved: [(row: WrappedKey, wrapped: [UInt8])], under master: any MasterKey) async throws {
        if moved.isEmpty { return }
        let id: String = master.id
        let changes: [(WrappedKey, [UInt8])] = moved.map { ($0.row, $0.wrapped) }
        try await self.ring.store.write { transaction in
            for (row, wrapped) in changes {
                try WrappedKeyTable.rewrap(row, master: id, wrapped: wrapped, in: transaction)
            }
        }
    }

    private static func keys(
        _ rows: [WrappedKey], _ keys: [String: SecretBytes], _ master: any MasterKey, in store: any Queryable
    ) throws -> KeyRing.OpenKeys {
        var opened: KeyRing.OpenKeys = KeyRing.OpenKeys(
            master: master, encrypting: [:], order: [], legacy: nil, platform: [])
        for row in rows {
            switch row.purpose {
            case .legacy: opened.legacy = keys[row.id]
            case .encrypting:
                opened.encrypting[row.id] = keys[row.id]
                opened.order.append((row.id, row.activeAt))
            }
        }
        for row in try DataKeyTable.versions(name: "", tenant: "", in: store).reversed() {
            opened.platform.append((row.version, try KeyRing.unwrap(row, opened), row.activeAt))
        }
        return opened
    }
}
