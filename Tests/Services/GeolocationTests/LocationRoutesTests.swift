import Contracts
import Geolocation
import HTTP
import JSON
import REST
import ServiceTestKit
import Testing

struct LocationRoutesTests {
    private static func call(
        _ handler: RESTHandler, _ method: String, _ target: String, _ body: JSONValue? = nil
    ) async throws -> (status: Int, json: JSONValue) {
        let fields: HTTPFields = body == nil ? [:] : ["Content-Type": "application/json"]
        let response: HTTPResponse = await handler.respond(
            to: HTTPRequest(
                method: HTTPMethod(method), target: target, fields: fields, body: HTTPBody(body?.serialized() ?? [])))
        guard case .bytes(let bytes) = response.body else { return (response.status, .null) }
        return (response.status, try JSONReader.parse(bytes))
    }

    private static func sighting(_ user: String, _ latitude: Double, _ longitude: Double) -> JSONValue {
        .object([
            "user_id": .string(user), "latitude": .double(latitude), "longitude": .double(longitude), "accuracy": 5,
        ])
    }

    @Test func notesAnswersAndPublishesLocations() async throws {
        let harness: ServiceHarness = try await ServiceHarness(migrations: [GeolocationService.migrations]) { _ in [] }
        let service: GeolocationService = GeolocationService(services: harness.services)
        try await service.start()
        let upstream: RESTHandler = service.upstream(version: "1")
        #expect(try await Self.call(upstream, "POST", "/locate", Self.sighting("u1", 48.8566, 2.3522)).status == 201)
        #expect(try await Self.call(upstream, "POST", "/locate", Self.sighting("u2", 48.8606, 2.3376)).status == 201)
        #expect(try await Self.call(upstream, "POST", "/locate", Self.sighting("u3", 43.2965, 5.3698)).status == 201)
        let found = try await Self.call(upstream, "GET", "/users/u1/location")
        #expect(found.json["latitude"]?.number == 48.8566)
        let near = try await Self.call(upstream, "GET", "/nearby?latitude=48.8566&longitude=2.3522&radius_km=5")
        #expect(near.json["users"]?.elements?.map { $0["user_id"]?.text } == ["u1", "u2"])
        #expect(try await harness.events(Topics.locationEvents).count == 3)
    }

    @Test func locationsSurviveAStart() async throws {
        let harness: ServiceHarness = try await ServiceHarness(migrations: [GeolocationService.migrations]) { _ in [] }
        let first: RESTHandler = GeolocationService(services: harness.services).upstream(version: "1")
        #expect(try await Self.call(first, "POST", "/locate", Self.sighting("u1", -33.8688, 151.2093)).status == 201)
        let second: GeolocationService = GeolocationService(services: harness.services)
        try await second.start()
        let near = try await Self.call(
            second.upstream(version: "1"), "GET", "/nearby?latitude=-33.87&longitude=151.21&radius_km=1")
        #expect(near.json["users"]?.elements?.count == 1)
    }

    @Test(arguments: [
        #"{"user_id":"u","latitude":91,"longitude":0,"accuracy":1}"#,
        #"{"user_id":"u","latitude":0,"longitude":-181,"accuracy":1}"#,
        #"{"user_id":"u","latitude":0,"longitude":0,"accuracy":0}"#,
        #"{"user_id":"","latitude":0,"longitude":0,"accuracy":1}"#,
        #"{"latitude":0,"longitude":0,"accuracy":1}"#, #"{"user_id":"u","latitude":"x","longitude":0,"accuracy":1}"#,
        #"{"user_id":"u","latitude":0,"longitude":0,"accuracy":1,"altitude":3}"#,
    ])
    func refusesWhatIsOutOfRange(body: String) async throws {
        let harness: ServiceHarness = try await ServiceHarness(migrations: [GeolocationService.migrations]) { _ in [] }
        let upstream: RESTHandler = GeolocationService(services: harness.services).upstream(version: "1")
        let answer = try await Self.call(upstream, "POST", "/locate", try JSONReader.parse(body))
        #expect(answer.status == 400)
        #expect(answer.json["errors"]?.elements?.isEmpty == false)
    }

    @Test func saysThatALocationIsNotFound() async throws {
        let harness: ServiceHarness = try await ServiceHarness(migrations: [GeolocationService.migrations]) { _ in [] }
        let upstream: RESTHandler = GeolocationService(services: harness.services).upstream(version: "1")
        let answer = try await Self.call(upstream, "GET", "/users/nobody/location")
        #expect(answer.status == 404)
        #expect(answer.json["title"]?.text == "LocationNotFound")
        #expect(answer.json["type"]?.text == "urn:passerelle:problem:LocationNotFound")
    }

    @Test func aUserWhoMovesIsFoundOnlyAtTheLastPlace() async throws {
        let harness: ServiceHarness = try await ServiceHarness(migrations: [GeolocationService.migrations]) { _ in [] }
        let upstream: RESTHandler = GeolocationService(services: harness.services).upstream(version: "1")
        for place in [(10.0, 10.0), (10.1, 10.1), (-17.0, 179.99)] {
            #expect(
                try await Self.call(upstream, "POST", "/locate", Self.sighting("u1", place.0, place.1)).status == 201)
        }
        let old = try await Self.call(upstream, "GET", "/nearby?latitude=10&longitude=10&radius_km=100")
        #expect(old.json["users"]?.elements?.isEmpty == true)
        let new = try await Self.call(upstream, "GET", "/nearby?latitude=-17&longitude=-179.99&radius_km=5")
        #expect(new.json["users"]?[0]?["user_id"]?.text == "u1", "across the 180th meridian")
        #expect(try await Self.call(upstream, "GET", "/users/u1/location").json["longitude"]?.number == 179.99)
    }

    @Test func furtherUsersAreRefusedAtTheLimit() async throws {
        let harness: ServiceHarness = try await ServiceHarness(migrations: [GeolocationService.migrations]) { _ in [] }
        let upstream: RESTHandler = GeolocationService(services: harness.services, usersMax: 2).upstream(version: "1")
        for user in ["u1", "u2"] {
            #expect(try await Self.call(upstream, "POST", "/locate", Self.sighting(user, 1, 1)).status == 201)
        }
        #expect(try await Self.call(upstream, "POST", "/locate", Self.sighting("u3", 1, 1)).status == 409)
        #expect(try await Self.call(upstream, "POST", "/locate", Self.sighting("u1", 2, 2)).status == 201)
        #expect(try await harness.events(Topics.locationEvents).count == 3)
    }

    @Test(arguments: [
        "", "latitude=1&longitude=1", "latitude=91&longitude=1&radius_km=1", "latitude=1&longitude=181&radius_km=1",
        "latitude=1&longitude=1&radius_km=-1", "latitude=1&longitude=1&radius_km=30000",
        "latitude=nan&longitude=1&radius_km=1",
        "latitude=1&longitude=1&radius_km=1&limit=5",
    ])
    func refusesASearchItDoesNotUnderstand(query: String) async throws {
        let harness: ServiceHarness = try await ServiceHarness(migrations: [GeolocationService.migrations]) { _ in [] }
        let upstream: RESTHandler = GeolocationService(services: harness.services).upstream(version: "1")
        let answer = try await Self.call(upstream, "GET", "/nearby?\(query)")
        #expect(answer.status == 400)
        #expect(answer.json["errors"]?[0]?["pointer"]?.text?.hasPrefix("query:") == true)
    }
}
