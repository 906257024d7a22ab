import Contracts
import JSON
import KeyRing
import REST
import ServiceTestKit
import Store
import Synchronization
import TestKit
import Testing

@testable import Secrets

/// What is live, as a test says.
final class FixedUsers: SecretUsers {
    let names: Mutex<[String]> = Mutex([])

    func uses(of secret: String, tenant: String, in store: any Queryable) throws -> [SecretUse] {
        self.names.withLock { names in names.map { SecretUse(.api, $0) } }
    }
}

/// The secrets service on a real store, its key ring under a master key file in the store's folder.
struct SecretsFixture {
    static let migrations: [ServiceMigrations] = [
        KeyRing.migrations, TaskTable.migrations, SecretsService.migrations,
    ]

    let harness: ServiceHarness
    let users: FixedUsers
    let keys: KeyRing

    init() async throws {
        let users: FixedUsers = FixedUsers()
        let made: Mutex<KeyRing?> = Mutex(nil)
        self.harness = try await ServiceHarness(migrations: Self.migrations) { services in
            let keys: KeyRing = try await Self.ring(services)
            made.withLock { $0 = keys }
            return [Self.service(services, keys, users), TaskFace()]
        }
        self.users = users
        self.keys = try #require(made.withLock { $0 })
    }

    static func ring(_ services: ServiceEnvironment) async throws -> KeyRing {
        let key: String = String(repeating: "0f", count: 32)
        var configuration: KeyRingConfiguration = KeyRingConfiguration(master: .variable(name: "K", value: key))
        configuration.keptFor = .zero
        return try await KeyRing.open(store: services.store, configuration: configuration, clock: services.clock)
    }

    static func service(_ services: ServiceEnvironment, _ keys: KeyRing, _ users: FixedUsers) -> SecretsService {
        SecretsService(services: services, keys: keys, columns: SecretsService.sealedColumns, users: users)
    }

    @discardableResult
    func put(_ name: String, _ value: String, tenant: String = "acme", token: String = "devops@acme") async throws
        -> TestAnswer
    {
        try await self.send("PUT", "/v1/tenants/\(tenant)/secrets/\(name)", token, .object(["value": .string(value)]))
    }

    func send(
        _ method: String, _ target: String, _ token: String = "devops@acme", _ body: JSONValue? = nil,
        fields: [(String, String)] = []
    ) async throws -> TestAnswer {
        try await self.harness.send(method, target, token: token, body, fields: fields)
    }

    /// The value as a gateway would get it.
    func value(_ name: String, version: Int64, tenant: String = "acme") async throws -> String? {
        let queries: SecretQueries = SecretQueries(sealer: KeyRingSealer(keys: self.keys))
        return try await self.harness.services.store.read {
            try queries.value(tenant: tenant, name: name, version: version, in: $0)
        }
    }
}

/// Serves the routes of tasks, as the composition root does.
struct TaskFace: PlatformService {
    static let name: String = "tasks"
    static let migrations: ServiceMigrations = TaskTable.migrations

    var routes: [Route] { TaskRoutes.routes }

    func start() async throws {}
    func stop() async {}
}
