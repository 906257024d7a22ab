import REST
import Store
import Synchronization
import Time

/// The origins of public clients that run in browsers: where their redirect URIs lead. Pages there may read what the token endpoint
/// answers; a client that keeps a secret runs on a server, and needs no browser's leave.
///
/// Read from the store when it is asked and what is known is old, so a new client works within `age`.
final class BrowserClients: ClientOrigins {
    /// How old an answer may be.
    static let age: Duration = .seconds(5)
    /// Clients looked at, at most.
    static let clientsMax: Int64 = 20_000

    private struct Known: Sendable {
        var origins: Set<String> = []
        /// Nanoseconds of the monotonic clock; nil: never read.
        var readAt: UInt64?
    }

    private let services: ServiceEnvironment
    private let known: Mutex<Known> = Mutex(Known())

    init(services: ServiceEnvironment) { self.services = services }

    func contains(origin: String) async -> Bool {
        let now: UInt64 = self.services.clock.monotonic()
        let known: Known = self.known.withLock { $0 }
        if let readAt: UInt64 = known.readAt, now - readAt < UInt64(Self.age.nanosecondsClamped) {
            return known.origins.contains(origin)
        }
        do {
            let origins: Set<String> = try await self.services.store.read { try Self.origins(in: $0) }
            self.known.withLock { $0 = Known(origins: origins, readAt: now) }
            return origins.contains(origin)
        } catch {
            // A store that does not answer lets nobody more in than before.
            return known.origins.contains(origin)
        }
    }

    private static func origins(in reader: Reader) throws -> Set<String> {
        let lists: [String] = try reader.rows(
            "SELECT redirect_uris FROM oauth_clients WHERE secret_hash IS NULL ORDER BY client_id LIMIT $1",
            .int(Self.clientsMax)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
        var origins: Set<String> = []
        for list in lists {
            for address in list.split(separator: " ") where address.hasPrefix("http") {
                origins.insert(OAuthClient.origin(of: String(address)).lowercased())
            }
        }
        return origins
    }
}
