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
    let shards: LocationShards = LocationShards()

    package init(services: ServiceEnvironment) { self.services = services }

    package var routes: [Route] { [] }

    /// Puts the stored locations into the index, page by page.
    package func start() async throws {
        var after: String = ""
        while true {
            let from: String = after
            let page: [UserLocation] = try await self.services.store.read {
                try LocationTable.all(after: from, limit: LocationTable.pageRows, in: $0)
            }
            for location in page { self.shards.index(location) }
            guard page.count == LocationTable.pageRows, let last: UserLocation = page.last else { return }
            after = last.userID
        }
    }

    package func stop() async {}

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
