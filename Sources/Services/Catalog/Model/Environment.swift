import JSON
import Store

/// An environment of a tenant: where deployments go and under which host names they answer.
struct Environment: Sendable {
    /// Most environments of a tenant.
    static let countMax: Int = 64
    /// Most host names of an environment.
    static let hostsMax: Int = 64

    let name: String
    let target: String
    let hosts: [String]
    let requiresPromotion: Bool
    let version: Int64

    var json: JSONValue {
        .object([
            "name": .string(self.name), "target": .string(self.target),
            "hosts": .array(self.hosts.map { JSONValue.string($0) }),
            "requires_promotion": .bool(self.requiresPromotion),
        ])
    }

    var hostsText: String { JSONValue.array(self.hosts.map { JSONValue.string($0) }).jsonText }

    static let columns: String = "name, target, hosts, requires_promotion, version"

    init(name: String, target: String, hosts: [String], requiresPromotion: Bool, version: Int64) {
        self.name = name
        self.target = target
        self.hosts = hosts
        self.requiresPromotion = requiresPromotion
        self.version = version
    }

    init(_ row: Row) throws(StoreError) {
        self.name = try row.text(0)
        self.target = try row.text(1)
        self.hosts = Self.hosts(in: try row.text(2))
        self.requiresPromotion = try row.bool(3)
        self.version = try row.int(4)
    }

    static func hosts(in text: String) -> [String] {
        var hosts: [String] = []
        for value in (try? JSONReader.parse(text))?.elements ?? [] {
            if let host: String = value.text { hosts.append(host) }
        }
        return hosts
    }
}

/// Where an environment's deployments go.
struct Target: Sendable {
    let name: String
    let kind: String
    let gatewayGroup: String
    let version: Int64

    var json: JSONValue {
        .object([
            "name": .string(self.name), "kind": .string(self.kind), "gateway_group": .string(self.gatewayGroup),
        ])
    }

    static let columns: String = "name, kind, gateway_group, version"

    init(name: String, kind: String, gatewayGroup: String, version: Int64) {
        self.name = name
        self.kind = kind
        self.gatewayGroup = gatewayGroup
        self.version = version
    }

    init(_ row: Row) throws(StoreError) {
        self.name = try row.text(0)
        self.kind = try row.text(1)
        self.gatewayGroup = try row.text(2)
        self.version = try row.int(3)
    }
}
