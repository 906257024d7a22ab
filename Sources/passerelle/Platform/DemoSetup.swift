import Files
import GatewayConfiguration
import Geolocation
import HTTP
import JSON

/// Brings a platform to the state the demo shows, through the REST interface: what is there already stays.
struct DemoSetup {
    private static let demoFileBytesMax: Int = 64 * 1_024
    /// How long the sample API may take to answer through the gateway.
    private static let liveWithin: Duration = .seconds(30)

    private let platform: Platform
    private let user: String
    private let password: String
    private var apiKey: String?

    private var controlPlane: String { "http://\(self.platform.settings.controlPlaneAddress)" }
    private var gateway: String { "http://\(self.platform.settings.gatewayAddress)" }

    private var https: (url: String, certificate: String)? {
        let settings: Settings = self.platform.settings
        guard let listener: HTTPSListener = settings.https,
            listener.certificates == [DemoCertificate.files(in: settings.data)]
        else { return nil }
        return ("https://\(listener.address)", listener.certificates[0].certificate)
    }

    /// Notes the administrator of a platform that is to be a demo.
    static func keep(user: String, password: String, in data: String) throws {
        try Self.save(["user": .string(user), "password": .string(password)], in: data)
    }

    private static func save(_ object: JSONObject, in data: String) throws {
        try Files.replace("\(data)/\(Demo.fileName)", with: JSONValue.object(object).pretty(), mode: 0o600)
    }

    init(_ platform: Platform) throws {
        self.platform = platform
        let path: String = "\(platform.settings.data)/\(Demo.fileName)"
        guard let bytes: [UInt8] = try? Files.read(path, bytesMax: Self.demoFileBytesMax),
            let saved: JSONValue = try? JSONReader.parse(bytes), let user: String = saved["user"]?.text,
            let password: String = saved["password"]?.text
        else {
            throw CommandError.failed(
                "\(platform.settings.data) holds a platform that is not a demo: use another --data, or 'passerelle serve'."
            )
        }
        self.user = user
        self.password = password
        self.apiKey = saved["api_key"]?.text
    }

    func run() async throws -> Demo {
        var setup: DemoSetup = self
        let plane: ControlPlane = try await setup.signIn()
        try await setup.makeTenant(plane)
        try await setup.makeAPI(plane)
        try await setup.makeApplication(plane)
        let key: String = setup.apiKey ?? ""
        try await setup.waitUntilLive(key: key)
        return Demo(
            gateway: self.gateway, https: self.https, controlPlane: self.controlPlane,
            data: self.platform.settings.data, user: self.user,
            password: self.password, apiKey: key)
    }

    private func signIn() async throws -> ControlPlane {
        let open: ControlPlane = try ControlPlane(url: self.controlPlane, tenant: nil, token: nil)
        let answer: JSONValue = try await open.send(
            "POST", "/v1/sessions", .object(["user": .string(self.user), "password": .string(self.password)]))
        return try ControlPlane(
            url: self.controlPlane, tenant: GeolocationService.tenant, token: answer["access_token"]?.text)
    }

    private func makeTenant(_ plane: ControlPlane) async throws {
        if try await plane.exists(try plane.tenantPath("")) { return }
        try await plane.send(
            "POST", "/v1/tenants",
            .object(["name": .string(GeolocationService.tenant), "display_name": "PIVORI Studio"]))
    }

    private func makeAPI(_ plane: ControlPlane) async throws {
        let path: String = try plane.tenantPath("/apis/\(Demo.api)")
        if try await !plane.exists(path) {
            try await plane.send(
                "POST", try plane.tenantPath("/apis"),
                .object([
                    "name": .string(Demo.api), "document": .string(GeolocationService.document),
                    "upstream": .string("http://\(self.platform.settings.geolocationAddress)"),
                    "policies": .array([
                        .object(["rate_limit": .object(["limit": 100, "window": "1m", "by": "key"])])
                    ]),
                ]))
        }
        let live: [JSONValue] = try await plane.get(path)["live"]?.elements ?? []
        if live.contains(where: { $0["environment"]?.text == "dev" }) { return }
        let deployment: JSONValue = try await plane.send(
            "POST", "\(path)/deployments", .object(["environment": "dev", "action": "deploy"]))
        let id: String = deployment["id"]?.text ?? ""
        try await plane.follow("\(path)/deployments/\(id)") { event in
            let state: String = (try? JSONReader.parse(event.data))?["state"]?.text ?? ""
            if state == "failed" { throw CommandError.failed("The demo's API could not be deployed: \(event.data)") }
            return state != "success"
        }
    }

    private mutating func makeApplication(_ plane: ControlPlane) async throws {
        let path: String = try plane.tenantPath("/applications/\(Demo.application)")
        if try await !plane.exists(path) {
            let made: JSONValue = try await plane.send(
                "POST", try plane.tenantPath("/applications"), .object(["name": .string(Demo.application)]))
            try self.keep(key: made)
        } else if self.apiKey == nil {
            try self.keep(key: try await plane.send("POST", "\(path)/keys", .object([:])))
        }
        for subscription in try await plane.all(try plane.tenantPath("/subscriptions"))
        where subscription["application"]?.text == Demo.application && subscription["api"]?.text == Demo.api {
            return
        }
        try await plane.send(
            "POST", try plane.tenantPath("/subscriptions"),
            .object(["application": .string(Demo.application), "api": .string(Demo.api), "plan": "gold"]))
    }

    private mutating func keep(key made: JSONValue) throws {
        self.apiKey = made["key"]?.text
        try Self.save(
            [
                "user": .string(self.user), "password": .string(self.password), "api_key": .string(self.apiKey ?? ""),
            ], in: self.platform.settings.data)
    }

    /// The demo prints its lines once they work.
    private func waitUntilLive(key: String) async throws {
        let probe: ControlPlane = try ControlPlane(url: self.gateway, tenant: nil, token: nil)
        let clock: ContinuousClock = ContinuousClock()
        let deadline: ContinuousClock.Instant = clock.now.advanced(by: Self.liveWithin)
        let target: String = "/api/geolocation/nearby?latitude=0&longitude=0&radius_km=1"
        while clock.now < deadline {
            if try await probe.status(target, fields: [("X-API-Key", key)]) == 200 { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw CommandError.failed("The demo's API does not answer through the gateway at \(self.gateway).")
    }
}
