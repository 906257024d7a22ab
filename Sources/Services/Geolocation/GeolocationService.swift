import Contracts
import EventLog
import EventLoops
import HTTP
import Identifiers
package import REST
import Store
import Time

/// The sample API of the demo: where users are. A true upstream with a port of its own; callers reach it through the gateway.
///
/// Publishes `location-events`. Its routes are not part of the control plane: `upstream` serves them.
package final class GeolocationService: PlatformService {
    package static let name: String = "geolocation"
    /// The tenant whose API it is.
    package static let tenant: String = "pivori-studio"

    let services: ServiceEnvironment
    let shards: LocationShards
    let indexing: LocationIndexing

    /// - Parameter usersMax: users whose locations are kept; further ones are refused.
    package init(services: ServiceEnvironment, usersMax: Int = LocationShards.usersMax) {
        let shards: LocationShards = LocationShards(usersMax: usersMax)
        self.services = services
        self.shards = shards
        self.indexing = LocationIndexing(services: services, shards: shards)
    }

    package var routes: [Route] { [] }

    /// Begins to put the stored locations into the index.
    package func start() async throws { self.indexing.begin() }

    package func stop() async { await self.indexing.stop() }

    /// What serves the sample API on its own port. Everyone may call: the gateway in front decides who gets here.
    package func upstream(version: String) -> RESTHandler {
        RESTHandler(
            routes: self.upstreamRoutes, authenticator: NoTokens(), services: self.services, version: version)
    }
}

/// Knows nobody: the sample API has no callers of its own.
private struct NoTokens: Authenticator {
    func authenticate(bearer token: String, ip: String) async -> Caller? { nil }
}
