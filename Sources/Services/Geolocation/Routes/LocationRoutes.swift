import Contracts
import HTTP
import JSON
import REST
import Store
import Time

extension GeolocationService {
    /// Most users in one answer of `/nearby`.
    static let neighboursMax: Int = 100

    var upstreamRoutes: [Route] {
        [
            Route(
                "POST", "/locate", operationID: "locate", tag: Self.name, summary: "Notes where a user is",
                access: .anyone, body: .json(UserLocation.schema), answers: [Answer(201, "Noted")]
            ) { [self] in try await self.locate($0) },
            Route(
                "GET", "/users/{id}/location", operationID: "getLocation", tag: Self.name,
                summary: "Where a user was last seen", access: .anyone, answers: [Answer(200, "The location")]
            ) { [self] in try await self.location($0) },
            Route(
                "GET", "/nearby", operationID: "nearby", tag: Self.name,
                summary: "The users around a point, nearest first",
                access: .anyone,
                query: [
                    QueryParameter("latitude", .number(GeographicPoint.latitudes), "Degrees.", isRequired: true),
                    QueryParameter("longitude", .number(GeographicPoint.longitudes), "Degrees.", isRequired: true),
                    QueryParameter(
                        "radius_km", .number(0...GeographicPoint.distanceMaxKilometres), "Kilometres.", isRequired: true
                    ),
                ], answers: [Answer(200, "Users with their distance")]
            ) { [self] in try await self.nearby($0) },
            Route(
                "GET", "/healthz", operationID: "health", tag: Self.name, summary: "Whether it answers",
                access: .anyone,
                answers: [Answer(200, "It does")]
            ) { _ in .json(.object(["status": "ok"])) },
        ]
    }

    private func locate(_ context: RequestContext) async throws -> HTTPResponse {
        let body: JSONValue = context.body
        let userID: String = body["user_id"]?.text ?? ""
        if let problem: String = UserLocation.problem(withUserID: userID) {
            throw APIProblem.invalid("/user_id", problem)
        }
        guard
            let point: GeographicPoint = GeographicPoint(
                latitude: body["latitude"]?.number ?? 0, longitude: body["longitude"]?.number ?? 0)
        else { throw APIProblem.invalid("/latitude", "expected a point on the earth") }
        let accuracy: Double = body["accuracy"]?.number ?? 0
        let author: Author = Author(caller: .platform(Self.name), trace: context.trace)
        let isFull: Bool = self.shards.isFull
        let location: UserLocation = try await self.services.store.write { transaction in
            let version: Int64 = (try LocationTable.find(userID, in: transaction)?.version ?? 0) + 1
            if version == 1, isFull {
                throw APIProblem.conflict("The locations of as many users as there may be are kept already.")
            }
            let location: UserLocation = UserLocation(
                userID: userID, point: point, accuracy: accuracy, timestamp: transaction.now, version: version)
            try LocationTable.put(location, in: transaction)
            try author.publish(
                Topics.locationEvents, key: userID, tenant: Self.tenant, location.json, in: transaction)
            return location
        }
        self.shards.note(location, now: self.services.clock.monotonic())
        return .json(.object(location.json), status: 201)
    }

    private func location(_ context: RequestContext) async throws -> HTTPResponse {
        let userID: String = context.parameter("id")
        let now: UInt64 = self.services.clock.monotonic()
        if let known: UserLocation = self.shards.cached(userID, now: now) { return .json(.object(known.json)) }
        let stored: UserLocation? = try await context.read { try LocationTable.find(userID, in: $0) }
        guard let stored: UserLocation else {
            var problem: APIProblem = APIProblem(.notFound, "Nothing is known of where '\(userID)' is.")
            problem.members["type"] = "urn:passerelle:problem:LocationNotFound"
            problem.members["title"] = "LocationNotFound"
            throw problem
        }
        self.shards.cache(stored, now: now)
        return .json(.object(stored.json))
    }

    private func nearby(_ context: RequestContext) async throws -> HTTPResponse {
        func number(_ name: String) -> Double { Double(context.query[name] ?? "") ?? 0 }
        guard
            let centre: GeographicPoint = GeographicPoint(latitude: number("latitude"), longitude: number("longitude"))
        else { throw APIProblem.invalid("query:latitude", "expected a point on the earth") }
        try await self.indexing.finished()
        var users: [JSONValue] = []
        let found: [SpatialIndex.Neighbour] = self.shards.neighbours(
            of: centre, radius: number("radius_km"), limit: Self.neighboursMax)
        for neighbour in found {
            users.append(
                .object([
                    "user_id": .string(neighbour.userID), "latitude": .double(neighbour.point.latitude),
                    "longitude": .double(neighbour.point.longitude),
                    "distance_km": .double((neighbour.distanceKilometres * 1_000).rounded() / 1_000),
                ]))
        }
        return .json(.object(["users": .array(users)]))
    }
}
