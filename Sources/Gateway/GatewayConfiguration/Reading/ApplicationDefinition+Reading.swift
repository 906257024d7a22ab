import Crypto
import Documents
import Time

/// Where an application's keys and subscriptions stand, for problems found later.
struct ApplicationPlaces {
    var keys: [NodeDecoder] = []
    var credentials: [NodeDecoder] = []
    var subscriptions: [NodeDecoder] = []
}

extension ApplicationDefinition {
    static func read(_ decoder: NodeDecoder) -> ApplicationDefinition? {
        var places: ApplicationPlaces = ApplicationPlaces()
        return self.read(decoder, places: &places)
    }

    /// Reads an application; `places` gets a decoder for each key and subscription that was read.
    static func read(_ decoder: NodeDecoder, places: inout ApplicationPlaces) -> ApplicationDefinition? {
        let known: [String] = ["id", "tenant", "state", "keys", "credentials", "subscriptions"]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let id: String? = fields.required("id")?.id()
        let tenant: String? = fields.tenant()
        let state: State? = State.read(fields)
        var read: ApplicationPlaces = ApplicationPlaces()
        let keys: [KeyDefinition]? = fields.list("keys", count: 0...ApplicationDefinition.keysMax) { element in
            let key: KeyDefinition? = KeyDefinition.read(element)
            if key != nil { read.keys.append(element) }
            return key
        }
        let credentials: [CredentialDefinition]? = fields.list(
            "credentials", count: 0...CredentialDefinition.countMax
        ) { element in
            let credential: CredentialDefinition? = CredentialDefinition.read(element)
            if credential != nil { read.credentials.append(element) }
            return credential
        }
        let subscriptions: [SubscriptionDefinition]? = fields.list(
            "subscriptions", count: 0...ApplicationDefinition.subscriptionsMax
        ) { element in
            let subscription: SubscriptionDefinition? = SubscriptionDefinition.read(element)
            if subscription != nil { read.subscriptions.append(element) }
            return subscription
        }
        places = read
        guard let id, let tenant, let state, let keys, let credentials, let subscriptions else { return nil }
        return ApplicationDefinition(
            id: id, tenant: tenant, state: state, keys: keys, credentials: credentials, subscriptions: subscriptions)
    }
}

extension ApplicationDefinition.State {
    static func read(_ fields: NodeFields) -> ApplicationDefinition.State? {
        fields.choice("state", default: .active, ["active": .active, "suspended": .suspended])
    }
}

extension KeyDefinition {
    /// A key in clear is hashed here and not kept.
    static func read(_ decoder: NodeDecoder) -> KeyDefinition? {
        guard let fields: NodeFields = decoder.fields(["id", "sha256", "value", "expires"]) else { return nil }
        let id: String?? = fields.optional("id") { $0.id() }
        let expires: Timestamp?? = fields.optional("expires") { element in
            element.parsed("a time such as 2030-01-31T12:00:00Z") { Timestamp(rfc3339: $0) }
        }
        var digest: KeyDigest?
        if (fields["sha256"] == nil) == (fields["value"] == nil) {
            fields.problem("expected either 'sha256' or 'value'")
        } else if let hash: NodeDecoder = fields["sha256"] {
            digest = hash.parsed("the SHA-256 of a key: 64 hexadecimal digits") { KeyDigest(hex: $0) }
        } else if let clear: NodeDecoder = fields["value"] {
            digest = self.digest(clear)
        }
        guard let id, let expires, let digest else { return nil }
        return KeyDefinition(id: id, digest: digest, expires: expires)
    }

    /// Keys travel in header fields and queries: what cannot stand there is no key.
    private static func digest(_ decoder: NodeDecoder) -> KeyDigest? {
        let max: Int = KeyDefinition.bytesMax
        let text: String? = decoder.string { text in
            let isSendable: Bool =
                !text.isEmpty && text.utf8.count <= max && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
            return isSendable ? nil : "1 to \(max) visible ASCII characters without spaces"
        }
        return text.flatMap { KeyDigest(bytes: SHA256.hash($0)) }
    }
}

extension SubscriptionDefinition {
    static func read(_ decoder: NodeDecoder) -> SubscriptionDefinition? {
        guard let fields: NodeFields = decoder.fields(["id", "api", "plan", "state"]) else { return nil }
        let id: String?? = fields.optional("id") { $0.id() }
        let api: String? = fields.required("api")?.id()
        let plan: String?? = fields.optional("plan") { $0.id() }
        let state: ApplicationDefinition.State? = ApplicationDefinition.State.read(fields)
        guard let id, let api, let plan, let state else { return nil }
        return SubscriptionDefinition(id: id, api: api, plan: plan, state: state)
    }
}

extension PlanDefinition {
    static func read(_ decoder: NodeDecoder) -> PlanDefinition? {
        guard let fields: NodeFields = decoder.fields(["id", "tenant", "rate_limit", "quota", "concurrency"]) else {
            return nil
        }
        let id: String? = fields.required("id")?.id()
        let tenant: String? = fields.tenant()
        let limit: PlanRateLimit?? = fields.optional("rate_limit") { PlanRateLimit.read($0) }
        let quota: PlanQuota?? = fields.optional("quota") { PlanQuota.read($0) }
        let concurrency: Int?? = fields.optional("concurrency") {
            $0.integer(in: 1...Int(ConcurrencyPolicy.limitMax))
        }
        guard let id, let tenant, let limit, let quota, let concurrency else { return nil }
        return PlanDefinition(
            id: id, tenant: tenant, rateLimit: limit, quota: quota, concurrency: concurrency.map { Int64($0) })
    }
}

extension PlanRateLimit {
    static func read(_ decoder: NodeDecoder) -> PlanRateLimit? {
        guard let fields: NodeFields = decoder.fields(["limit", "window", "algorithm", "scope"]) else { return nil }
        let limit: Int? = fields.integer("limit", in: 1...Int(RateLimitPolicy.limitMax))
        let window: Duration? = fields.duration("window", in: RateLimitPolicy.windows)
        let algorithm: RateLimitPolicy.Algorithm? = RateLimitPolicy.algorithm(fields)
        let scope: LimitScope? = LimitScope.read(fields)
        RateLimitPolicy.checkSliding(limit, algorithm, fields)
        if scope == .shared, let algorithm, algorithm != .window {
            fields["algorithm"]?.problem("expected 'window' with 'scope: shared'")
        }
        guard let limit, let window, let algorithm, let scope else { return nil }
        return PlanRateLimit(limit: Int64(limit), window: window, algorithm: algorithm, scope: scope)
    }
}
