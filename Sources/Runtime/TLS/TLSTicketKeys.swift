import COpenSSL
import Crypto
import Glibc
import Synchronization

/// The keys that seal a server's session tickets (RFC 5077, RFC 8446 section 4.6.1).
///
/// A key seals for half the lifetime of a ticket and opens until the last ticket it sealed is over; then it is forgotten, so that
/// who steals the memory of a process cannot read what was recorded long before. Contexts may share keys: then a session is
/// resumed after a change of certificates too. Any thread.
package final class TLSTicketKeys: Sendable {
    /// Keys kept at once: one that seals, and those whose tickets may still be good.
    package static let keysMax: Int = 3

    private static let nameLength: Int = 16
    private static let vectorLength: Int = 16
    private static let keyLength: Int = 32

    private struct Key {
        let name: [UInt8] = Array(Random.bytes(TLSTicketKeys.nameLength))
        let cipher: [UInt8] = Array(Random.bytes(TLSTicketKeys.keyLength))
        let authentication: [UInt8] = Array(Random.bytes(TLSTicketKeys.keyLength))
        /// Seconds of the clock below.
        let since: Int64
    }

    /// Seconds: how long a key seals.
    private let period: Int64
    private let clock: @Sendable () -> Int64
    /// Newest first.
    private let keys: Mutex<[Key]> = Mutex([])

    /// - Parameters:
    ///   - lifetime: of a ticket, 1 s or more.
    ///   - clock: seconds that never go back.
    package init(
        lifetime: Duration, clock: @escaping @Sendable () -> Int64 = { TLSTicketKeys.monotonicSeconds() }
    ) {
        // Rounded up: a ticket never outlives its key.
        self.period = max(1, (lifetime.components.seconds + 1) / 2)
        self.clock = clock
    }

    /// How many keys there are now.
    package var count: Int { self.keys.withLock { $0.count } }

    package static func monotonicSeconds() -> Int64 {
        var time: timespec = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Int64(time.tv_sec)
    }

    /// Tickets of this context are sealed and opened by the keys of the session's own context.
    static func install(in context: OpaquePointer) {
        copenssl_ctx_on_ticket(context) { (session, name, vector, cipher, mac, seals) -> Int32 in
            guard let keys: TLSTicketKeys = TLSSession.ticketKeys(of: session), let name, let vector else { return -1 }
            return seals == 1
                ? keys.seal(name, vector, cipher, mac) : keys.open(name, vector, cipher, mac)
        }
    }

    /// 1: the ticket may be sealed; -1: it cannot be.
    private func seal(
        _ name: UnsafeMutablePointer<UInt8>, _ vector: UnsafeMutablePointer<UInt8>, _ cipher: OpaquePointer?,
        _ mac: OpaquePointer?
    ) -> Int32 {
        let now: Int64 = self.clock()
        let key: Key = self.keys.withLock { (keys: inout [Key]) -> Key in
            self.forget(&keys, now)
            if let newest: Key = keys.first, now - newest.since < self.period { return newest }
            let made: Key = Key(since: now)
            keys.insert(made, at: 0)
            if keys.count > TLSTicketKeys.keysMax { keys.removeLast() }
            return made
        }
        let random: [UInt8] = Array(Random.bytes(TLSTicketKeys.vectorLength))
        name.update(from: key.name, count: key.name.count)
        vector.update(from: random, count: random.count)
        return self.begin(key, vector, cipher, mac, seals: 1) ? 1 : -1
    }

    /// 0: nobody knows the key any more, so both sides begin anew; 1: good; 2: good, and the client should get a fresh one.
    private func open(
        _ name: UnsafeMutablePointer<UInt8>, _ vector: UnsafeMutablePointer<UInt8>, _ cipher: OpaquePointer?,
        _ mac: OpaquePointer?
    ) -> Int32 {
        let wanted: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: name, count: TLSTicketKeys.nameLength)
        let now: Int64 = self.clock()
        let found: (key: Key, seals: Bool)? = self.keys.withLock { (keys: inout [Key]) -> (key: Key, seals: Bool)? in
            self.forget(&keys, now)
            // A name is no secret: it goes over the network as it is.
            guard let key: Key = keys.first(where: { wanted.elementsEqual($0.name) }) else { return nil }
            return (key, now - key.since < self.period)
        }
        guard let found else { return 0 }
        guard self.begin(found.key, vector, cipher, mac, seals: 0) else { return -1 }
        return found.seals ? 1 : 2
    }

    private func begin(
        _ key: Key, _ vector: UnsafeMutablePointer<UInt8>, _ cipher: OpaquePointer?, _ mac: OpaquePointer?, seals: Int32
    ) -> Bool {
        copenssl_begin_ticket(
            cipher, mac, key.cipher, key.authentication, key.authentication.count, vector, seals) == 1
    }

    /// The last ticket of a key is sealed after one period and good for two more.
    private func forget(_ keys: inout [Key], _ now: Int64) {
        keys.removeAll { now - $0.since > 3 * self.period }
    }
}
