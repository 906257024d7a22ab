import GatewayConfiguration
import HTTP
package import JSON

/// What a control plane asks its gateways to forget: the stored responses of a tenant, of some of its APIs, of one address, or
/// with a tag.
package struct PurgeOrder: Sendable, Equatable {
    package let tenant: String
    /// Snapshot entries' ids; empty: all of the tenant's.
    package let apis: [String]
    /// Only with this tag.
    package let tag: String?
    /// Only of this address: the host as requests name it, and the path with its query.
    package let host: String?
    package let target: String?

    package init(tenant: String, apis: [String], tag: String? = nil, host: String? = nil, target: String? = nil) {
        self.tenant = tenant
        self.apis = apis
        self.tag = tag
        self.host = host
        self.target = target
    }

    package init?(_ json: JSONValue) {
        guard let tenant: String = json["tenant"]?.text else { return nil }
        self.init(
            tenant: tenant, apis: (json["apis"]?.elements ?? []).compactMap { $0.text }, tag: json["tag"]?.text,
            host: json["host"]?.text, target: json["target"]?.text)
    }

    package var json: JSONValue {
        var object: JSONObject = ["tenant": .string(self.tenant), "apis": .array(self.apis.map { .string($0) })]
        if let tag: String = self.tag { object["tag"] = .string(tag) }
        if let host: String = self.host { object["host"] = .string(host) }
        if let target: String = self.target { object["target"] = .string(target) }
        return .object(object)
    }

    /// Host and target of an address as a request has them, the path in the gateway's normal form; nil: it is none.
    package static func address(_ text: String) -> (host: String, target: String)? {
        guard let url: URLParts = URLParts(text), let path: String = PathScreen.normal(url.path) else { return nil }
        let query: String = url.query.map { "?\($0)" } ?? ""
        return (url.authority, path + query)
    }

    /// The same for the store.
    package var purges: [CachePurge] {
        if let tag: String = self.tag { return [.tag(tenant: self.tenant, tag)] }
        if self.apis.isEmpty { return [.all(tenant: self.tenant, api: nil)] }
        return self.apis.map { api in
            guard let host: String = self.host, let target: String = self.target else {
                return .all(tenant: self.tenant, api: api)
            }
            return .address(tenant: self.tenant, api: api, host: host, target: target)
        }
    }
}

/// The orders since a number.
package struct PurgeFeed: Sendable {
    /// Of the latest order.
    package let number: Int64
    /// Orders are missing: everything is to be forgotten.
    package let forgetsAll: Bool
    package let orders: [PurgeOrder]

    package init(number: Int64, forgetsAll: Bool, orders: [PurgeOrder]) {
        self.number = number
        self.forgetsAll = forgetsAll
        self.orders = orders
    }
}
