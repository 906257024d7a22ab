import Bytes
import Crypto
package import Store
import Synchronization
package import Time

/// Keys in levels: the master key wraps key-encrypting keys, those wrap data keys, and data keys seal values. AES-256-GCM.
///
/// ```
/// master key            a file, a variable, or OpenBao's transit: never in the database, never in a backup
///  └ key-encrypting key   in the database, wrapped; in memory while the ring is unsealed
///     └ data key            one for each tenant, one for the platform ('' in both), and keys with names of their own
///        └ value              where it belongs, in any table
/// ```
/// Each level rotates by itself while everything runs (`KeyRing+Rotation`): a new key seals from then on, what older keys sealed
/// is sealed anew in the background, and an old key goes once nothing needs it. Killed anywhere, everything still opens.
///
/// Keys of tenants are read in the transaction that uses them and kept nowhere: what a transaction that fails has made is never
/// used. The platform's own are kept, for those who seal outside of transactions. Any thread may call.
package final class KeyRing: Sendable {
    /// How often a process looks for keys that others made.
    package static let refreshEvery: Duration = .seconds(5)

    enum State: Sendable {
        /// Nothing opens. It becomes `open` by `unseal`.
        case sealed(reason: String, since: Timestamp)
        /// It becomes `sealed` by `seal`.
        case open(OpenKeys)
    }

    /// What an unsealed ring knows.
    struct OpenKeys: Sendable {
        let master: any MasterKey
        /// Key-encrypting keys by id.
        var encrypting: [String: SecretBytes]
        /// Those that wrap, in the order they were made.
        var order: [(id: String, activeAt: Timestamp)]
        /// What sealed values of format 1.
        var legacy: SecretBytes?
        /// The platform's data keys, oldest first.
        var platform: [(version: Int64, key: SecretBytes, activeAt: Timestamp)]

        /// The key-encrypting key that wraps now.
        func active(at now: Timestamp) -> (id: String, key: SecretBytes)? {
            guard let id: String = self.order.last(where: { $0.activeAt <= now })?.id ?? self.order.first?.id,
                let key: SecretBytes = self.encrypting[id]
            else { return nil }
            return (id, key)
        }

        /// The platform's data key that seals now.
        func platformKey(at now: Timestamp) -> (version: Int64, key: SecretBytes)? {
            guard let found = self.platform.last(where: { $0.activeAt <= now }) ?? self.platform.first else {
                return nil
            }
            return (found.version, found.key)
        }
    }

    let store: Store
    let clock: any WallClock
    package let configuration: KeyRingConfiguration
    private let state: Mutex<State>
    /// Whether the master key rotates now: two rotations at once would write over one another's next key.
    let isRotatingMaster: Mutex<Bool> = Mutex(false)

    /// A sealed ring over a store that has `KeyRing.migrations`.
    package init(store: Store, configuration: KeyRingConfiguration, clock: any WallClock = SystemClock()) {
        self.store = store
        self.clock = clock
        self.configuration = configuration
        self.state = Mutex(.sealed(reason: "it was not opened yet", since: clock.now()))
    }

    /// A ring that is unsealed. - Throws: as `unseal`.
    package static func open(
        store: Store, configuration: KeyRingConfiguration, clock: any WallClock = SystemClock()
    ) async throws -> KeyRing {
        let ring: KeyRing = KeyRing(store: store, configuration: configuration, clock: clock)
        try await ring.unseal()
        return ring
    }

    // MARK: Sealed and unsealed

    /// Why nothing opens, and since when; nil while the ring is unsealed.
    package var isSealed: (reason: String, since: Timestamp)? {
        self.state.withLock { state in
            if case .sealed(let reason, let since) = state { return (reason, since) }
            return nil
        }
    }

    /// Forgets all keys: their memory is wiped as soon as no call uses them. What services hold open in memory they keep; nothing
    /// else opens until `unseal`.
    package func seal(reason: String) {
        let now: Timestamp = self.clock.now()
        self.state.withLock { $0 = .sealed(reason: reason, since: now) }
    }

    /// Fetches the master key and unwraps the keys it wraps. Makes the first keys at the first start, and ends a rotation of the
    /// master key that was killed.
    ///
    /// - Throws: `KeyRingError.masterAway` when another try may do; what the master key's place throws.
    package func unseal() async throws {
        let opened: OpenKeys = try await Unsealing(ring: self).run()
        self.take(opened)
    }

    /// The master key the ring was opened with, to wrap what lies beside the database. - Throws: `KeyRingError.sealed`.
    package func master() throws(KeyRingError) -> any MasterKey { try self.opened().master }

    func take(_ opened: OpenKeys) { self.state.withLock { $0 = .open(opened) } }

    /// Learns of keys that other processes made. Does nothing while sealed.
    package func refresh() async throws {
        guard let known: OpenKeys = try? self.opened() else { return }
        let unsealing: Unsealing = Unsealing(ring: self)
        // A key that the known master key does not unwrap: another process rotated that, too.
        let fresh: OpenKeys
        do { fresh = try await unsealing.refreshed(known) } catch KeyRingError.cannotOpen {
            fresh = try await unsealing.run()
        }
        self.state.withLock { state in
            // Sealed meanwhile: it stays so.
            if case .open = state { state = .open(fresh) }
        }
    }

    /// Keeps alive what this process signs in with where the master key is. Does nothing while sealed.
    ///
    /// - Returns: after how long it is due again; nil: there is nothing to keep alive.
    package func keepMasterAlive() async throws -> Duration? {
        guard let known: OpenKeys = try? self.opened() else { return nil }
        return try await known.master.keepAlive()
    }

    /// Looks for keys of other processes until cancelled.
    package func keepFresh(_ failed: @Sendable (any Error) -> Void) async {
        while (try? await self.clock.sleep(for: Self.refreshEvery)) != nil {
            do { try await self.refresh() } catch { failed(error) }
        }
    }

    /// - Throws: `KeyRingError.sealed`.
    func opened() throws(KeyRingError) -> OpenKeys {
        let state: State = self.state.withLock { $0 }
        switch state {
        case .open(let keys): return keys
        case .sealed(let reason, _): throw .sealed(reason: reason)
        }
    }
}

/// Where the master key is, and how the ring shares its database.
package struct KeyRingConfiguration: Sendable {
    package var master: MasterKeyLocation
    /// The master key before: keys it wraps are wrapped with the present one at the next unsealing.
    package var old: MasterKeyLocation?
    /// How long before it is used other processes can see a new key of the platform. Nothing where no process shares the
    /// database; longer than `KeyRing.refreshEvery` where some do.
    package var overlap: Duration = .zero
    /// How long a key that nothing needs any more is kept: longer than any change takes from sealing to its commit.
    package var keptFor: Duration = .seconds(3_600)

    /// The present master key, then those that keys may still be wrapped with. - Throws: as `KeyRing.unseal`.
    package func masters() async throws -> [any MasterKey] {
        let present: LoadedMaster = try await self.master.load()
        var masters: [any MasterKey] = [present.key] + (present.next.map { [$0] } ?? [])
        if let old: MasterKeyLocation = self.old { masters.append(try await old.load().key) }
        return masters
    }

    package init(master: MasterKeyLocation, old: MasterKeyLocation? = nil) {
        self.master = master
        self.old = old
    }
}
