package import JSON

/// Catalogue, applications, subscriptions, deployments and roles as the audit log tells of them: each entry's after-image in
/// place of the one before.
///
/// A value; cost of an entry: that of its change. Holds everything that is there at once.
package struct ReplayedState: Sendable {
    /// What something is found by: its tenant (empty for the platform's own), and its id or name there.
    package struct Key: Hashable, Comparable, Sendable {
        package let tenant: String
        package let id: String

        package static func < (left: Key, right: Key) -> Bool { (left.tenant, left.id) < (right.tenant, right.id) }
    }

    /// Kinds that an entry's resource type names directly.
    package enum Kind: String, CaseIterable, Sendable {
        case tenant, target, environment, plan, api, application, subscription, deployment
        case role, group
        case serviceAccount = "service-account"
        case oauthClient = "oauth-client"
        case secondFactorRule = "second-factor-rule"
        case gatewayToken = "gateway-token"
    }

    package private(set) var things: [Kind: [Key: JSONObject]] = [:]
    /// Revisions of each API, by its id, in order.
    package private(set) var revisions: [Key: [JSONObject]] = [:]
    /// What runs: by API and then environment.
    package private(set) var live: [Key: [String: JSONValue]] = [:]
    /// Users by id: their state, and their roles by tenant.
    private var states: [String: String] = [:]
    private var roles: [String: [String: [JSONValue]]] = [:]
    /// Who is in each group: entries name one that came or went.
    private var members: [Key: Set<String>] = [:]

    package init() {}

    /// Users with all their roles.
    package var users: [(id: String, user: JSONObject)] {
        var found: [(id: String, user: JSONObject)] = []
        for id in self.states.keys.sorted() {
            var grants: [JSONValue] = []
            for tenant in (self.roles[id] ?? [:]).keys.sorted() { grants += self.roles[id]?[tenant] ?? [] }
            found.append(
                (id, ["id": .string(id), "state": .string(self.states[id] ?? ""), "grants": .array(grants)]))
        }
        return found
    }

    /// Things of a kind in order of key.
    package func all(_ kind: Kind) -> [(key: Key, value: JSONObject)] {
        var found: [(key: Key, value: JSONObject)] = []
        let things: [Key: JSONObject] = self.things[kind] ?? [:]
        for key in things.keys.sorted() {
            guard var value: JSONObject = things[key] else { continue }
            if kind == .group {
                value["members"] = .array((self.members[key] ?? []).sorted().map { JSONValue.string($0) })
            }
            found.append((key, value))
        }
        return found
    }

    /// Takes an entry of the audit log: the JSON of its leaf. Those that change none of this do nothing.
    package mutating func apply(_ leaf: JSONValue) {
        guard let event: String = leaf["event_type"]?.text, let type: String = leaf["resource"]?["type"]?.text,
            let id: String = leaf["resource"]?["id"]?.text, let changes: JSONObject = leaf["changes"]?.object
        else { return }
        let tenant: String = leaf["tenant"]?.text ?? ""
        if type == "user" { return self.takeUser(id, tenant, changes) }
        guard let kind: Kind = Kind(rawValue: type) else { return }
        let key: Key = Key(tenant: tenant, id: id)
        if event.hasPrefix("group.member-") {
            return self.setMember(changes["user_id"]?.text, of: key, isMember: event == "group.member-added")
        }
        if event == "api.undeployed" { return self.setLive(.null, key, changes["environment"]?.text) }
        if event.hasSuffix(".deleted") { return self.remove(kind, key) }
        var thing: JSONObject = Self.opened(changes)
        if let version: JSONValue = leaf["resource"]?["version"] { thing["version"] = version }
        switch kind {
        case .api: self.takeRevision(&thing, key, leaf)
        case .deployment: self.takeLive(&thing, tenant)
        case .application: for name in ["key_id", "key_sha256", "old_keys_expire_at"] { thing[name] = nil }
        default: break
        }
        self.things[kind, default: [:]][key] = thing
    }

    private mutating func remove(_ kind: Kind, _ key: Key) {
        self.things[kind]?[key] = nil
        switch kind {
        case .api: self.revisions[key] = nil
        case .group: self.members[key] = nil
        case .tenant:
            // All it had goes with it; what entries tell of that in between is not all of it.
            let tenant: String = key.id
            for kind: Kind in Kind.allCases where kind != .tenant {
                self.things[kind] = self.things[kind]?.filter { $0.key.tenant != tenant }
            }
            self.revisions = self.revisions.filter { $0.key.tenant != tenant }
            self.live = self.live.filter { $0.key.tenant != tenant }
            self.members = self.members.filter { $0.key.tenant != tenant }
            for user in self.roles.keys { self.roles[user]?[tenant] = nil }
        default: break
        }
    }

    private mutating func setMember(_ user: String?, of group: Key, isMember: Bool) {
        guard let user: String else { return }
        if isMember {
            self.members[group, default: []].insert(user)
        } else {
            self.members[group]?.remove(user)
        }
    }

    /// An entry about a new revision has what the API does not: the hashes of what the revision never changes.
    private mutating func takeRevision(_ api: inout JSONObject, _ key: Key, _ leaf: JSONValue) {
        guard api["document_sha256"] != nil else { return }
        var revision: JSONObject = ["revision": api["latest_revision"] ?? .null]
        for name in ["api_version", "document_sha256", "gateway_sha256", "upstream"] {
            revision[name] = api[name]
            api[name] = nil
        }
        revision["created_by"] = leaf["actor"]?["user_id"]
        revision["created_at"] = leaf["time"]
        self.revisions[key, default: []].append(revision)
    }

    private mutating func takeLive(_ deployment: inout JSONObject, _ tenant: String) {
        guard let live: JSONValue = deployment["live"], let api: String = deployment["api_id"]?.text else { return }
        deployment["live"] = nil
        self.setLive(live, Key(tenant: tenant, id: api), deployment["environment"]?.text)
    }

    private mutating func setLive(_ place: JSONValue, _ api: Key, _ environment: String?) {
        guard let environment: String else { return }
        if place != .null {
            self.live[api, default: [:]][environment] = place
        } else {
            self.live[api]?.removeValue(forKey: environment)
            if self.live[api]?.isEmpty == true { self.live.removeValue(forKey: api) }
        }
    }

    /// An entry has a user's roles in one tenant: those elsewhere stay.
    private mutating func takeUser(_ id: String, _ tenant: String, _ changes: JSONObject) {
        guard let state: String = changes["state"]?.text, let grants: [JSONValue] = changes["grants"]?.elements else {
            return
        }
        self.states[id] = state
        self.roles[id, default: [:]][tenant] = grants.isEmpty ? nil : grants
    }

    /// Sealed values whose key nobody gives stay closed: what was erased stays erased.
    private static func opened(_ object: JSONObject) -> JSONObject {
        var result: JSONObject = JSONObject()
        for member in object.members { result.append(member.key, Self.opened(member.value)) }
        return result
    }

    private static func opened(_ value: JSONValue) -> JSONValue {
        switch value {
        case .object(let object):
            let isSealed: Bool =
                object.members.count == 2 && object["$key"]?.text != nil && object["$sealed"]?.text != nil
            return isSealed ? .object(["erased": true]) : .object(Self.opened(object))
        case .array(let elements): return .array(elements.map { Self.opened($0) })
        default: return value
        }
    }
}
