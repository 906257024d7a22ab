import Catalog
import Contracts
import Files
import Geolocation
import HTTP
import Identifiers
import JSON
import REST

/// The demo: the sample tenant with its API, deployed the usual way, an application subscribed to it, and lines to try.
///
/// Its credentials are in `demo.json` of the data folder (mode 0600), so that every start prints the same.
struct Demo: Sendable {
    static let fileName: String = "demo.json"
    static let application: String = "demo-app"
    static let api: String = "geolocation"

    let gateway: String
    /// With TLS, where the demo listens with it, and the file with the certificate to trust.
    let https: (url: String, certificate: String)?
    let controlPlane: String
    let data: String
    let user: String
    let password: String
    let apiKey: String

    /// Sets up what is missing through the same REST interface everyone uses, and waits until the API answers.
    static func prepare(_ platform: Platform) async throws -> Demo {
        try await DemoSetup(platform).run()
    }

    /// Each is one command that answers 2xx as it stands.
    var lines: [String] {
        let key: String = "-H 'X-API-Key: \(self.apiKey)'"
        var lines: [String] = [
            "curl -sS -f \(key) -H 'Content-Type: application/json' -d '{\"user_id\":\"u1\",\"latitude\":48.8566,\"longitude\":2.3522,\"accuracy\":12.5}' \(self.gateway)/api/geolocation/locate",
            "curl -sS -f \(key) \(self.gateway)/api/geolocation/users/u1/location",
            "curl -sS -f \(key) '\(self.gateway)/api/geolocation/nearby?latitude=48.85&longitude=2.35&radius_km=5'",
            "curl -sS -f \(self.controlPlane)/readyz",
            "curl -sS -f \(self.controlPlane)/openapi.json",
        ]
        if let https = self.https {
            lines.append(
                "curl -sS -f --cacert \(https.certificate) \(key) '\(https.url)/api/geolocation/nearby?latitude=48.85&longitude=2.35&radius_km=5'"
            )
        }
        return lines
    }

    var json: JSONValue {
        .object([
            "gateway": .string(self.gateway), "control_plane": .string(self.controlPlane), "kafka": .null,
            "data_dir": .string(self.data),
            "admin": .object(["user": .string(self.user), "password": .string(self.password)]),
            "api_key": .string(self.apiKey), "try": .array(self.lines.map { JSONValue.string($0) }),
        ])
    }

    var text: String {
        var text: String = """
            Passerelle is running.

              gateway         \(self.gateway)
              control plane   \(self.controlPlane)   (REST: /openapi.json, metrics: /metrics)
              administrator   \(self.user)  \(self.password)
              demo API key    \(self.apiKey)
              data            \(self.data)

            Try:

            """
        for line in self.lines { text += "  \(line)\n" }
        text += """

            Your own API: passerelle login --url \(self.controlPlane) --user \(self.user), then docs/getting-started.md.
            Ctrl-C stops; the next start prints the same.
            """
        return text
    }
}
